/** The three kinds of panels and their common parts: data source, empty state, thresholds. */
import { BigValueColorMode, BigValueGraphMode, BigValueTextMode, GraphDrawStyle, GraphGradientMode, LegendDisplayMode, LegendPlacement, LineInterpolation, ReduceDataOptionsBuilder, SortOrder, StackingConfigBuilder, StackingMode, TableSortByFieldStateBuilder, TooltipDisplayMode, VizLegendOptionsBuilder, VizTooltipOptionsBuilder } from '@grafana/grafana-foundation-sdk/common';
import type { DynamicConfigValue, Panel, Threshold } from '@grafana/grafana-foundation-sdk/dashboard';
import { ThresholdsConfigBuilder, ThresholdsMode } from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** A panel under construction. */
export interface Unbuilt {
  build(): Panel;
}

/** A heading and the panels below it, placed in the grid from left to right. */
export interface Section {
  title: string;
  panels: Unbuilt[];
}

/** The data source selected at the top: never a fixed one, so that the file works by import and by provisioning. */
export const datasource = { type: 'prometheus', uid: '${datasource}' };

/** The empty state of a panel without recorded series. */
export const noRules = 'no data: are the recording rules loaded, and is a filter scraped?';

interface Shown {
  title: string;
  description: string;
  /** Columns of 24, and rows. */
  w: number;
  h: number;
  /** The empty state, shown if the query returns nothing. */
  noValue: string;
  unit: string;
  thresholds?: Threshold[];
}

/** No colours: Grafana's default would colour everything above 80 red. */
const plain: Threshold[] = [{ color: 'text', value: null }];

/** Green at 0, this colour from 1. */
export const noneIsGood = (color: 'red' | 'orange'): Threshold[] => [
  { color: 'green', value: null },
  { color, value: 1 },
];

function shared<B extends StatBuilder | TableBuilder | TimeseriesBuilder>(builder: B, shown: Shown): B {
  builder
    .title(shown.title)
    .description(shown.description)
    .span(shown.w)
    .height(shown.h)
    .datasource(datasource)
    .unit(shown.unit)
    .noValue(shown.noValue)
    .thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(shown.thresholds ?? plain));
  return builder;
}

const query = (refId: string, expr: string) => new DataqueryBuilder().refId(refId).expr(expr).datasource(datasource);

/** A single number, or a named number for each series. */
export function stat(shown: Shown & { expr: string; legend?: string; background?: boolean }): Unbuilt {
  const target = query('A', shown.expr).instant();
  const named = shown.legend !== undefined;
  return shared(new StatBuilder(), shown)
    .withTarget(named ? target.legendFormat(shown.legend ?? '') : target)
    .colorMode((shown.background ?? true) ? BigValueColorMode.Background : BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .textMode(named ? BigValueTextMode.ValueAndName : BigValueTextMode.Auto)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false));
}

/** A column: its label or value, its heading, and further properties. */
export interface Column {
  from: string;
  to: string;
  properties?: DynamicConfigValue[];
}

/** A table whose queries A, B and so on are joined on their labels; unnamed columns are omitted. */
export function table(shown: Shown & { queries: string[]; columns: Column[]; sort: { field: string; desc: boolean } }): Unbuilt {
  // Grafana names the value of one query among several "Value #A", but plain "Value" if the others return nothing.
  const columns = shown.columns.flatMap((column, index) => [{ ...column, index }, ...(column.from === 'Value #A' ? [{ ...column, from: 'Value', index }] : [])]);
  const builder = shared(new TableBuilder(), { ...shown })
    .targets(shown.queries.map((expr, index) => query(String.fromCharCode(65 + index), expr).instant().format(PromQueryFormat.Table)))
    .filterable(true)
    .sortBy([new TableSortByFieldStateBuilder().displayName(shown.sort.field).desc(shown.sort.desc)]);
  if (shown.queries.length > 1) {
    builder.withTransformation({ id: 'merge', options: {} });
  }
  builder.withTransformation({ id: 'filterFieldsByName', options: { include: { names: columns.map(({ from }) => from) } } });
  builder.withTransformation({
    id: 'organize',
    options: {
      indexByName: Object.fromEntries(columns.map(({ from, index }) => [from, index])),
      renameByName: Object.fromEntries(columns.map(({ from, to }) => [from, to])),
    },
  });
  for (const { to, properties } of shown.columns) {
    if (properties !== undefined) {
      builder.overrideByName(to, properties);
    }
  }
  return builder;
}

/** Values along the time range. */
export function graph(shown: Shown & { lines: [expr: string, legend: string][]; style: 'line' | 'bars' | 'stacked'; max?: number }): Unbuilt {
  const stacked = shown.style !== 'line';
  const builder = shared(new TimeseriesBuilder(), shown)
    .targets(shown.lines.map(([expr, legend], index) => query(String.fromCharCode(65 + index), expr).range().legendFormat(legend)))
    // The rules are evaluated every two minutes: finer steps would repeat values.
    .interval('2m')
    .min(0)
    .drawStyle(shown.style === 'bars' ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .gradientMode(GraphGradientMode.None)
    .lineInterpolation(LineInterpolation.StepAfter)
    .lineWidth(1)
    .fillOpacity(stacked ? 40 : 10)
    .stacking(new StackingConfigBuilder().mode(stacked ? StackingMode.Normal : StackingMode.None))
    .legend(new VizLegendOptionsBuilder().displayMode(LegendDisplayMode.Table).placement(LegendPlacement.Right).showLegend(true).calcs(['lastNotNull']))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  return shown.max === undefined ? builder : builder.max(shown.max);
}
