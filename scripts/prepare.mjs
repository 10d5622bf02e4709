import { exclusively } from './exclusively.mjs';
import { modernNode } from './modern-node.mjs';
import { isInstalled, npmCi } from './npm-ci.mjs';
import { slowStep } from './slow-step.mjs';
import { buildTypescriptSdk } from './typescript-sdk.mjs';

/**
 * Brings what a clone needs (a Node that runs TypeScript, the dependencies, the built SDK) and resolves with the path of
 * that Node. Quick when all is there.
 */
export async function prepare() {
  const node = await modernNode();
  if (!isInstalled('.')) {
    await exclusively('dependencies', async (alsoHeldBy) => {
      if (!isInstalled('.')) await slowStep('installing the dependencies', () => npmCi('.', alsoHeldBy));
    });
  }
  await buildTypescriptSdk(node);
  return node;
}
