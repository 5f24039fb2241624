/** What a check found: the place in the JSON file, and what is wrong there. */
export interface Problem {
  path: string;
  what: string;
}
