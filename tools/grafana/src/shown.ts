/** How a value reads: unit, value mapping and threshold colour, as Grafana has them, for the units this dashboard uses. */
import type { FieldConfig, FieldConfigSource } from '@grafana/grafana-foundation-sdk/dashboard';

/** A formatted value; `color` is one of Grafana's names. */
export interface Shown {
  text: string;
  color: string | undefined;
}

/** The settings of one column: the panel's defaults with the column's overrides on top. */
export function settings(field: FieldConfigSource, column: string): FieldConfig {
  const merged: Record<string, unknown> = { ...field.defaults };
  for (const { matcher, properties } of field.overrides) {
    if (matcher.options === column) {
      for (const { id, value } of properties) {
        merged[id] = value;
      }
    }
  }
  return merged as FieldConfig;
}

function duration(seconds: number): string {
  const steps: [limit: number, divisor: number, unit: string][] = [
    [60, 1, 's'],
    [3600, 60, 'min'],
    [86400, 3600, 'hours'],
    [Infinity, 86400, 'days'],
  ];
  const [, divisor, unit] = steps.find(([limit]) => seconds < limit) ?? [0, 1, 's'];
  const amount = seconds / divisor;
  return `${amount < 10 && divisor > 1 ? amount.toFixed(1) : Math.round(amount)} ${unit}`;
}

function decimal(value: number, digits: number): string {
  return Number.isInteger(value) ? `${value}` : value.toFixed(digits);
}

/** A number in a unit; `now` in Unix seconds, for times. An unknown unit is an error and not a bare number. */
export function inUnit(value: number, unit: string, now: number): string {
  switch (unit) {
    case 'none':
      return `${value}`;
    case 'short':
      return value >= 10000 ? `${(value / 1000).toFixed(1)} K` : decimal(value, 2);
    case 's':
      return duration(value);
    case 'dateTimeFromNow':
      return `${duration(Math.max(0, now - value / 1000))} ago`;
    case 'percentunit':
      return `${decimal(value * 100, 1)}%`;
    case 'cps':
      return `${decimal(value, 2)} c/s`;
    default:
      throw new Error(`unit: not drawn here: ${unit}`);
  }
}

/** A value as it reads; a label is a text, a query's value a number. */
export function show(value: string | number, defaults: FieldConfig, now: number): Shown {
  for (const mapping of defaults.mappings ?? []) {
    const mapped = mapping.type === 'value' ? (mapping.options as Record<string, { text?: string; color?: string }>)[`${value}`] : undefined;
    if (mapped !== undefined) {
      return { text: mapped.text ?? `${value}`, color: mapped.color };
    }
  }
  if (typeof value === 'string') {
    return { text: value, color: undefined };
  }
  const step = (defaults.thresholds?.steps ?? []).filter((one) => one.value === null || value >= one.value).at(-1);
  return { text: inUnit(value, defaults.unit ?? 'none', now), color: step?.color };
}
