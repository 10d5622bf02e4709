export const namespaceWords = 'is no namespace: lower-case letters, digits, and hyphens between them, at most 63';

/** What the patterns of the contract ask for, in words. */
const wordsOfPattern: ReadonlyMap<string, string> = new Map([
  ['^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$', namespaceWords],
  [
    '^[A-Za-z0-9][A-Za-z0-9_-]*(\\.[A-Za-z0-9_-]+)*$',
    'is no name: letters, digits, _ and -, the first a letter or a digit; dots join parts, as in email.send',
  ],
  ['^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$', 'is no label key: letters, digits, and _ . / - between them'],
  ['^[A-Za-z0-9_.:-]*$', 'has a character that it cannot have: letters, digits and _ . : - are possible'],
  ['^[A-Za-z0-9:_.-]*$', 'has a character that it cannot have: letters, digits and _ . : - are possible'],
  ['^[0-9a-f]{16}$', 'is no fingerprint: 16 characters, 0 to 9 and a to f'],
  ['^[^\\x00-\\x1f\\x7f]*$', 'has a control character, such as a line break'],
  ['^[^\\x00-\\x20\\x7f]*$', 'has a space or a control character'],
  ['^[ -~]*$', 'has a character that it cannot have: printable ASCII and spaces are possible'],
  ['^[\\x20-\\x7e]*$', 'has a character that it cannot have: printable ASCII and spaces are possible'],
  ['^[\\x21-\\x7e]*$', 'has a character that it cannot have: printable ASCII without spaces is possible'],
  ['^[\\x21-\\x7e]+$', 'is to be printable ASCII without spaces'],
  [
    '^$|^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*(; ?[A-Za-z0-9_-]+=[A-Za-z0-9_.-]+)*$',
    'is no media type, such as image/png or text/plain; charset=utf-8',
  ],
  ['^(/([^~/\\x00]|~[01])*)+$', 'is no JSON pointer, such as /customer/id; ~1 is a / and ~0 a ~ of a name'],
  ['^[^*\\x00-\\x1f\\x7f]*\\*?$', 'has a * before its end, or a control character'],
  [
    '^[a-z0-9_.]*\\*?$',
    'is no type of event, such as dstc.task.failed.v1, and no beginning of some, such as dstc.task.*',
  ],
  ["^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", 'is no name of a header, such as x-team'],
  ['^[A-Za-z0-9-]{1,39}$', 'is no login: letters, digits and hyphens, at most 39'],
  ['^[A-Z][A-Z0-9_]{1,63}$', 'is no key of a project, such as OPS'],
  ['^[0-9]{0,10}$', 'is no id of a transition: digits, at most 10'],
  ['^[A-Za-z0-9_.-]{0,128}$', 'is no file name or id of a workflow: letters, digits and _ . -, at most 128'],
  [
    '^[A-Za-z_][A-Za-z0-9_-]{0,99}$',
    'is no name of an input: letters, digits, _ and -, the first no digit, at most 100',
  ],
  [
    '^[A-Za-z_][A-Za-z0-9_]{0,254}$',
    'is no name of a variable: letters, digits and _, the first no digit, at most 255',
  ],
]);

/** What the library says of text that a pattern does not take, with what is possible in the place of the pattern. */
export function inWords(message: string): string {
  const pattern = /^does not match regex pattern `(.*)`$/s.exec(message)?.[1];
  return wordsOfPattern.get(pattern ?? '') ?? message;
}
