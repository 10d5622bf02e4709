/** An embedded part cannot start for a reason that the person at the terminal can do something about; the message says what. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
