import { factList, headlineOf, shortened, wordsOf } from '../event-facts.ts';
import { type Format, jsonHeaders } from './format.ts';

/** https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: a message of blocks. */
export const slack: Format<'slack'> = (_format, facts) => {
  const headline = headlineOf(facts);
  const words = wordsOf(facts);
  const fields = factList(facts).map(([name, value]) => ({
    type: 'mrkdwn',
    text: `*${name}*\n${escaped(shortened(value, 300))}`,
  }));
  const blocks = [
    { type: 'header', text: { type: 'plain_text', text: shortened(headline, 150), emoji: false } },
    { type: 'section', fields },
    ...(words === '' ? [] : [preformatted(shortened(words, 2_500))]),
  ];
  return [{ method: 'POST', path: '', headers: jsonHeaders, body: { text: escaped(headline), blocks } }];
};

/** In such a block nothing is a link, a mention or a style. */
function preformatted(text: string) {
  return { type: 'rich_text', elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text }] }] };
}

/** What Slack would take for a link or a mention, or for the style of a text. */
function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[*_~`]/g, (mark) => `\u200b${mark}\u200b`);
}
