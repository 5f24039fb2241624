/**
 * Checks the JSON file against Grafana's published types.
 *
 * The file's text becomes a TypeScript expression with the type `Dashboard`, so that the compiler refuses what the
 * types do not know: a wrong type, an unknown or misspelt field, a value that is not in an enum, a missing field.
 */
import ts from 'typescript';
import { packageRoot } from './files.js';
import type { Problem } from './problem.js';

const head = "import type { Dashboard } from './src/shape.js';\nexport const dashboard: Dashboard = ";
const name = `${packageRoot}dashboard-under-check.ts`;

const options: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
};

/** Files of the schema do not change while this runs: parsed once, however many texts are checked. */
const parsed = new Map<string, ts.SourceFile | undefined>();
let before: ts.Program | undefined;

/** The path of the innermost JSON value around a position, as `panels[3].options.colorMode`. */
function pathAt(file: ts.SourceFile, position: number): string {
  let path = '';
  const visit = (node: ts.Node): void => {
    if (position < node.getStart(file) || position >= node.getEnd()) {
      return;
    }
    if (ts.isPropertyAssignment(node)) {
      const key = ts.isStringLiteral(node.name) ? node.name.text : node.name.getText(file);
      path += path === '' ? key : `.${key}`;
    } else if (ts.isArrayLiteralExpression(node.parent)) {
      path += `[${node.parent.elements.indexOf(node as ts.Expression)}]`;
    }
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(file, visit);
  return path === '' ? '(root)' : path;
}

/** The last line of the compiler's chain of reasons is the one that names the value. */
function reason(message: string | ts.DiagnosticMessageChain): string {
  return ts
    .flattenDiagnosticMessageText(message, '\n')
    .split('\n')
    .map((line) => line.trim())
    .map((line) => (line.length > 300 ? `${line.slice(0, 300)}…` : line))
    .join(' / ');
}

/**
 * Every place where a JSON text departs from Grafana's types; empty when there is none.
 *
 * # Errors
 * A schema that cannot be loaded is thrown and not reported as the dashboard's fault: without it every text would pass.
 */
export function againstSchema(json: string): Problem[] {
  const source = `${head}${json.trimEnd()};\n`;
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.getSourceFile = (file, ...rest) => {
    if (file === name) {
      return ts.createSourceFile(name, source, ts.ScriptTarget.ES2022, true);
    }
    if (!parsed.has(file)) {
      parsed.set(file, getSourceFile(file, ...rest));
    }
    return parsed.get(file);
  };
  host.fileExists = (file) => file === name || fileExists(file);
  host.readFile = (file) => (file === name ? source : readFile(file));

  const program = ts.createProgram([name], options, host, before);
  before = program;
  const problems: Problem[] = [];
  for (const found of ts.getPreEmitDiagnostics(program)) {
    if (found.file?.fileName !== name || found.start === undefined || found.start < head.length) {
      const where = found.file === undefined ? 'compiler' : found.file.fileName;
      throw new Error(`schema: ${where}: ${reason(found.messageText)}`);
    }
    problems.push({ path: pathAt(found.file, found.start), what: reason(found.messageText) });
  }
  return problems;
}
