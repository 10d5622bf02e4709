/** What an inline style and a form of our own need, and nothing else. */
export const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/** Signs the operator in. */
export function loginPage(action: string, problem?: string): string {
  return page(
    'Sign in to DSTC',
    `${alert(problem)}
    <form method="post" action="${escapeHtml(action)}">
      <label for="name">User</label>
      <input id="name" name="name" autocomplete="username" required autofocus>
      <label for="password">Password</label>
      <input id="password" name="password" type="password" autocomplete="current-password" required>
      <button>Sign in</button>
    </form>`,
  );
}

/** Asks for the code that a device shows. */
export function codePage(xsrf: string, problem?: string): string {
  return page(
    'Connect a device',
    `${alert(problem)}
    <form method="post">
      <input type="hidden" name="xsrf" value="${escapeHtml(xsrf)}">
      <label for="code">The code that your terminal shows</label>
      <input id="code" name="user_code" autocomplete="off" autocapitalize="characters" required autofocus>
      <button>Continue</button>
    </form>`,
  );
}

/** Lets the person compare the code: somebody else's must not be let in. */
export function confirmPage({ xsrf, code, client }: { xsrf: string; code: string; client: string }): string {
  return page(
    'Connect this device?',
    `<p><strong>${escapeHtml(client)}</strong> shows the code</p>
    <p class="code">${escapeHtml(code)}</p>
    <p>If you did not ask for it, or the code differs, choose Cancel.</p>
    <form method="post">
      <input type="hidden" name="xsrf" value="${escapeHtml(xsrf)}">
      <input type="hidden" name="user_code" value="${escapeHtml(code)}">
      <input type="hidden" name="confirm" value="yes">
      <button autofocus>Continue</button>
      <button class="quiet" name="abort" value="yes">Cancel</button>
    </form>`,
  );
}

export function messagePage(title: string, message: string): string {
  return page(title, `<p>${escapeHtml(message)}</p>`);
}

function alert(problem: string | undefined): string {
  return problem === undefined ? '' : `<p role="alert">${escapeHtml(problem)}</p>`;
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${escapeHtml(title)}</title>
    <style>
      :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
      main { max-width: 22rem; margin: 15vh auto; padding: 0 1rem; }
      label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
      input, button { margin: 0.25rem 0 1rem; padding: 0.5rem; border: 1px solid; border-radius: 0.25rem; }
      button { background: #1d4ed8; border-color: #1d4ed8; color: #fff; cursor: pointer; }
      .quiet { background: none; color: inherit; }
      .code { font: 1.75rem/1 ui-monospace, monospace; letter-spacing: 0.1em; }
      [role='alert'] { padding: 0.5rem; border-left: 0.25rem solid #dc2626; }
    </style>
  </head>
  <body>
    <main>
    <h1>${escapeHtml(title)}</h1>
    ${body}
    </main>
  </body>
</html>
`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
