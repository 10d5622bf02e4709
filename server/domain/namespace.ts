/** What a namespace may be called: a label of DNS. The contract says the same. */
export const namespacePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** The one that is meant where none is named. */
export const defaultNamespace = 'default';
