/** Queries a Prometheus like Grafana: instant and range queries. */

/** One series of an instant query. */
export interface Sample {
  labels: Record<string, string>;
  value: number;
}

/** One series of a range query: pairs of Unix seconds and value. */
export interface Curve {
  labels: Record<string, string>;
  points: [seconds: number, value: number][];
}

interface Answer<Series> {
  status: string;
  error?: string;
  data?: { result: Series[] };
}

/** A Prometheus by its address, such as `http://127.0.0.1:9090`. */
export class Prometheus {
  constructor(private readonly address: string) {}

  private async ask<Series>(path: string, parameters: Record<string, string>): Promise<Series[]> {
    const response = await fetch(`${this.address}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) });
    const answer = (await response.json()) as Answer<Series>;
    if (answer.status !== 'success' || answer.data === undefined) {
      throw new Error(`prometheus: ${parameters['query'] ?? path}: ${answer.error ?? response.statusText}`);
    }
    return answer.data.result;
  }

  /** The result of an instant query, in Unix seconds. */
  async at(query: string, time: number): Promise<Sample[]> {
    const found = await this.ask<{ metric: Record<string, string>; value: [number, string] }>('query', { query, time: `${time}` });
    return found.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /** The result of a range query, all in Unix seconds. */
  async along(query: string, start: number, end: number, step: number): Promise<Curve[]> {
    const found = await this.ask<{ metric: Record<string, string>; values: [number, string][] }>('query_range', {
      query,
      start: `${start}`,
      end: `${end}`,
      step: `${step}`,
    });
    return found.map(({ metric, values }) => ({ labels: metric, points: values.map(([at, value]) => [at, Number(value)]) }));
  }
}
