/**
 * Checks JSON texts against Grafana's published types.
 *
 * Each text becomes a TypeScript expression with the type `Dashboard`, so that the compiler refuses what the
 * types do not know: a wrong type, an unknown or misspelt field, a value that is not in an enum, a missing field.
 */
import ts from 'typescript';
import { packageRoot } from './files.js';
import type { Problem } from './problem.js';

const head = "import type { Dashboard } from './src/shape.js';\nexport const dashboard: Dashboard = ";

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
 * Every place where a JSON text departs from Grafana's types, for each of the texts; empty where there is none.
 *
 * # Errors
 * A schema that cannot be loaded is thrown and not reported as the dashboard's fault: without it every text would pass.
 */
export function againstSchema(texts: readonly string[]): Problem[][] {
  const sources = new Map(texts.map((text, index) => [`${packageRoot}dashboard-under-check-${index}.ts`, `${head}${text.trimEnd()};\n`]));
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.getSourceFile = (file, version, ...rest) => {
    const source = sources.get(file);
    return source === undefined ? getSourceFile(file, version, ...rest) : ts.createSourceFile(file, source, version, true);
  };
  host.fileExists = (file) => sources.has(file) || fileExists(file);
  host.readFile = (file) => sources.get(file) ?? readFile(file);

  const names = [...sources.keys()];
  const problems: Problem[][] = names.map(() => []);
  for (const found of ts.getPreEmitDiagnostics(ts.createProgram(names, options, host))) {
    const { file, start, messageText } = found;
    const at = file === undefined ? -1 : names.indexOf(file.fileName);
    if (file === undefined || start === undefined || at < 0) {
      throw new Error(`schema: ${file?.fileName ?? 'compiler'}: ${reason(messageText)}`);
    }
    problems[at]?.push({ path: pathAt(file, start), what: reason(messageText) });
  }
  return problems;
}
