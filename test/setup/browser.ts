export interface Page {
  readonly url: string;
  readonly status: number;
  readonly text: string;
}

/** As much of a browser as a sign-in takes: cookies, redirects, and the one form of a page. */
export interface Browser {
  get(url: string): Promise<Page>;
  /** Sends the page's form with its hidden fields and these. */
  submit(page: Page, fields: Record<string, string>): Promise<Page>;
}

const redirectsMax = 10;

export function browser(): Browser {
  // Name and path identify a cookie; a later one replaces it.
  const cookies = new Map<string, { name: string; value: string; path: string }>();

  async function follow(url: string, init: RequestInit): Promise<Page> {
    let response = await send(url, init);
    for (let count = 0; response.status >= 300 && response.status < 400; count += 1) {
      if (count === redirectsMax) throw new Error(`${url} redirects for ever`);
      response = await send(new URL(response.headers.get('location') ?? '', response.url).href, {});
    }
    return { url: response.url, status: response.status, text: await response.text() };
  }

  async function send(url: string, init: RequestInit): Promise<Response> {
    const { pathname } = new URL(url);
    const sent = [...cookies.values()].filter(({ path }) => pathname.startsWith(path));
    const cookie = sent.map(({ name, value }) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { ...init, redirect: 'manual', headers: { cookie } });
    for (const header of response.headers.getSetCookie()) keep(header);
    return response;
  }

  function keep(header: string): void {
    const [pair = '', ...attributes] = header.split(/;\s*/);
    const separator = pair.indexOf('=');
    const [name, value] = [pair.slice(0, separator), pair.slice(separator + 1)];
    const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice(5) ?? '/';
    cookies.delete(`${name} ${path}`);
    if (value !== '') cookies.set(`${name} ${path}`, { name, value, path });
  }

  return {
    get: (url) => follow(url, {}),
    submit(page, fields) {
      const form = /<form[^>]*>/.exec(page.text)?.[0];
      if (form === undefined) throw new Error(`${page.url} has no form: ${page.text}`);
      const action = new URL(attribute(form, 'action') ?? page.url, page.url).href;
      const hidden = [...page.text.matchAll(/<input[^>]*type="hidden"[^>]*>/g)].map(([input]) => [
        attribute(input, 'name') ?? '',
        attribute(input, 'value') ?? '',
      ]);
      const body = new URLSearchParams({ ...Object.fromEntries(hidden), ...fields });
      return follow(action, { method: 'POST', body });
    },
  };
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1];
}
