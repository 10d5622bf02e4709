/** The shells that `dstc completion` knows. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The command that the scripts call with the words so far; the last one is the one to complete. */
export const completeCommand = '__complete';

/** A script for the shell to source. It asks the installed `dstc` itself, so it never goes out of date. */
export function completionScript(shell: Shell): string {
  return scripts[shell];
}

const scripts: Record<Shell, string> = {
  bash: `# dstc completion for bash. Add to ~/.bashrc:  source <(dstc completion bash)
_dstc() {
  local IFS=$'\\n'
  COMPREPLY=($(dstc ${completeCommand} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _dstc dstc`,
  zsh: `#compdef dstc
# dstc completion for zsh. Add to ~/.zshrc after compinit:  source <(dstc completion zsh)
_dstc() {
  local -a found
  local value brief
  while IFS=$'\\t' read -r value brief; do
    found+=("\${value//:/\\\\:}:\${brief}")
  done < <(dstc ${completeCommand} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#found} )); then _describe dstc found; else _files; fi
}
compdef _dstc dstc`,
  fish: `# dstc completion for fish. Save as ~/.config/fish/completions/dstc.fish, or:  dstc completion fish | source
function __dstc_complete
  set -l words (commandline -opc) (commandline -ct)
  dstc ${completeCommand} -- $words[2..-1] 2>/dev/null
end
complete -c dstc -a '(__dstc_complete)'`,
};
