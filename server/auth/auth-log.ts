/** What authentication says to operators; pino's logger fits. Tokens and claims are never passed to it. */
export interface AuthLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
