import { factList, headlineOf, shortened, wordsOf } from '../event-facts.ts';
import { type Format, jsonHeaders } from './format.ts';

/** A message with an Adaptive Card, as the workflow "Post to a channel when a webhook request is received" takes it. */
export const teams: Format<'teams'> = (_format, facts) => {
  const words = wordsOf(facts);
  const card = {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    body: [
      text(shortened(headlineOf(facts), 200), { weight: 'Bolder', size: 'Medium' }),
      ...factList(facts).map(([name, value]) => text(`${name}: ${shortened(value, 300)}`)),
      ...(words === '' ? [] : [text(shortened(words, 2_500), { fontType: 'Monospace' })]),
    ],
  };
  const attachment = { contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content: card };
  return [{ method: 'POST', path: '', headers: jsonHeaders, body: { type: 'message', attachments: [attachment] } }];
};

/** Unlike a text block, a run of text has no Markdown in it. */
function text(words: string, style: Readonly<Record<string, string>> = {}) {
  return { type: 'RichTextBlock', inlines: [{ type: 'TextRun', text: words, ...style }] };
}
