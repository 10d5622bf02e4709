/** As in package.json; a test compares the two. */
export const sdkInfo = { name: 'dstc-typescript', version: '0.1.0' } as const;
