/** Text that goes to the terminal as it is: its colours are the CLI's own. Only `paint` and what joins painted text make it. */
export interface Painted {
  readonly painted: string;
}

/** What may be written to a terminal. Anything that is not painted is taken for the words of somebody else. */
export type Text = string | Painted | readonly Text[];

/** Words in a colour. */
export function paint(color: (text: string) => string, words: string): Painted {
  return { painted: color(escaped(words)) };
}

/**
 * What a terminal gets. Workers, senders and servers choose many of the words: what would steer the terminal, or turn the order of
 * its characters around, shows as an escape such as `\u001b`, which also leaves JSON the same JSON. Line ends and tabs stay.
 */
export function shown(text: Text): string {
  if (typeof text === 'string') return escaped(text);
  return 'painted' in text ? text.painted : text.map(shown).join('');
}

/** Words of others that are to take no more than one line. */
export function oneLine(words: string): string {
  return words.replace(/\s*[\t\r\n]+\s*/g, ' ');
}

/** All of C0 but line feed and tab, DEL, C1, separators of lines, and marks that change the direction of text. */
const steering = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

function escaped(words: string): string {
  return words.replaceAll('\r\n', '\n').replace(steering, escapeOf);
}

function escapeOf(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
