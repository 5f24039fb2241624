/**
 * The shape of the dashboard's JSON, as Grafana publishes it.
 *
 * Everything here is taken from `@grafana/schema` (dashboard, panels, options of each panel type) and from
 * `@grafana/grafana-foundation-sdk` (the Prometheus query); only the links of a field and the options of the
 * transformations, which Grafana types as `unknown`, are written down here. The dashboard's source is typed with
 * it, and `schema.ts` checks the JSON file against it.
 */
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import type {
  Dashboard as SchemaDashboard,
  FieldConfig as SchemaFieldConfig,
  Panel as SchemaPanel,
  RowPanel as SchemaRow,
  VariableModel,
} from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** A schema type as it reads in a JSON file: an enum is there by its value. */
export type Json<T> = unknown extends T
  ? T
  : T extends string
    ? string extends T
      ? string
      : `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends ReadonlyArray<infer Item>
        ? Json<Item>[]
        : { [Key in keyof T]: Json<T[Key]> };

/** A link in a table cell or on a value; Grafana's own type is `DataLink` in `@grafana/data`. */
export interface DataLink {
  title: string;
  url: string;
  targetBlank?: boolean;
}

/** One Prometheus query of a panel. */
export type Query = Omit<Json<Dataquery>, '_implementsDataqueryVariant'>;

/** A step between the queries' answers and the panel: https://grafana.com/docs/grafana/latest/panels-visualizations/query-transform-data/transform-data/ */
export type Transformation =
  | { id: 'merge'; options: Record<string, never> }
  | { id: 'filterFieldsByName'; options: { include: { names: string[] } } }
  | {
      id: 'organize';
      options: {
        indexByName?: Record<string, number>;
        renameByName?: Record<string, string>;
      };
    };

/** The settings of one column or series that an override may change. */
export type Property<Custom> =
  | { [Key in Exclude<keyof SchemaFieldConfig, 'custom' | 'links'>]: { id: Key; value: Json<Exclude<SchemaFieldConfig[Key], undefined>> } }[Exclude<
      keyof SchemaFieldConfig,
      'custom' | 'links'
    >]
  | { id: 'links'; value: DataLink[] }
  | { [Key in keyof Custom & string]: { id: `custom.${Key}`; value: Json<Exclude<Custom[Key], undefined>> } }[keyof Custom & string];

/** How a panel's values look: unit, thresholds, empty state; `overrides` by column or series. */
export interface FieldConfig<Custom> {
  defaults: Omit<Json<SchemaFieldConfig>, 'custom' | 'links'> & {
    custom?: Partial<Json<Custom>>;
    links?: DataLink[];
  };
  overrides: {
    matcher: { id: 'byName' | 'byRegexp' | 'byFrameRefID' | 'byType'; options: string };
    properties: Property<Custom>[];
  }[];
}

interface PanelOf<Type extends string, Options, Custom>
  extends Omit<Json<SchemaPanel>, 'type' | 'options' | 'fieldConfig' | 'targets' | 'transformations'> {
  type: Type;
  options: Json<Options>;
  fieldConfig: FieldConfig<Custom>;
  targets?: Query[];
  transformations?: Transformation[];
}

/** The five panel types the dashboard uses, told apart by `type`. */
export type Panel =
  | PanelOf<'stat', stat.Options, Record<never, never>>
  | PanelOf<'bargauge', bargauge.Options, Record<never, never>>
  | PanelOf<'table', table.Options, Exclude<table.FieldConfig, undefined>>
  | PanelOf<'text', text.Options, Record<never, never>>
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>;

/** A heading that groups the panels below it. */
export type Row = Omit<Json<SchemaRow>, 'panels'> & { panels: Panel[] };

/** A variable at the top of the dashboard. */
export type Variable = Json<VariableModel>;

/** The whole file. */
export type Dashboard = Omit<Json<SchemaDashboard>, 'panels' | 'templating'> & {
  panels: (Panel | Row)[];
  templating: { list: Variable[] };
};
