import { type Application, buildCommand, proposeCompletions } from '@stricli/core';
import { completionScript, type Shell, shells } from '../completion.ts';
import type { CliContext } from '../context.ts';

/** `dstc completion` */
export const completion = buildCommand<Record<never, never>, [Shell], CliContext>({
  func(_flags, shell) {
    this.screen.out(completionScript(shell));
  },
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        { parse: parseShell, placeholder: 'shell', brief: shells.join(', '), proposeCompletions: () => shells },
      ],
    },
  },
  docs: {
    brief: 'Print a completion script for your shell',
    fullDescription: `Prints a script that completes commands, flags and values. To use it:

  bash  add to ~/.bashrc:                 source <(dstc completion bash)
  zsh   add to ~/.zshrc, after compinit:  source <(dstc completion zsh)
  fish  run once:                         dstc completion fish > ~/.config/fish/completions/dstc.fish`,
  },
});

/** What the scripts call: prints what may come in place of the last word, each with a tab and its description. */
export function completeWith(application: () => Application<CliContext>) {
  return buildCommand<Record<never, never>, string[], CliContext>({
    async func(_flags, ...words) {
      const proposals = await proposeCompletions(application(), words, {
        process: this.process,
        forCommand: () => this,
      });
      for (const { completion, brief } of proposals) this.screen.out(`${completion}\t${brief}`);
    },
    parameters: {
      positional: { kind: 'array', parameter: { parse: String, placeholder: 'word', brief: 'The words so far' } },
    },
    docs: { brief: 'Propose completions' },
  });
}

function parseShell(written: string): Shell {
  const shell = shells.find((name) => name === written);
  if (shell === undefined) throw new Error(`"${written}" is no shell that dstc knows; there are ${shells.join(', ')}`);
  return shell;
}
