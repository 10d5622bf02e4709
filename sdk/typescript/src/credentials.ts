/** Where bearer tokens come from. */
export interface Credentials {
  /**
   * A token that is good for a while yet. `refused` is one that a coordinator did not accept: the answer is another one
   * wherever there is another one to be had.
   */
  token(options?: { readonly refused?: string | undefined }): Promise<string>;
}

/** A token from elsewhere, which is not renewed. */
export function staticToken(token: string): Credentials {
  return { token: async () => token };
}
