"""Completion scripts for bash, zsh and fish, each in the manner of its shell. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from layerlock.cli.words import Argument, Words

FOLDERS: Final[Mapping[str, str]] = {
    "layers": "layers functions",
    "packages": "packages",
    "recipes": "layers functions packages",
}
"""Folders below `recipes/` by the kind of an argument."""

_BASH_START = r"""# Completion of layerlock for bash, written by `layerlock completion bash`.

# Print the names of the recipes in some folders below recipes/, of the nearest repository.
_layerlock_names() {
  local root=$PWD i folder file
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${COMP_WORDS[i]} == --repo ]]; then
      [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
      root=${COMP_WORDS[i + 1]/#\~/$HOME}
    fi
  done
  while [[ ! -d $root/recipes && $root == */* ]]; do root=${root%/*}; done
  for folder; do
    for file in "$root/recipes/$folder"/*.toml; do
      file=${file##*/} file=${file%.toml}
      [[ $file == '*' || $file == *.wheels ]] || printf '%s\n' "$file"
    done
  done
}

_layerlock() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  # bash takes `--jobs=2` for three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi
  local verb= given=0 many=0 options= valued='--repo|--store' place= i
  local -a places=()
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${COMP_WORDS[i]} == -* ]]; then
      if [[ "|$valued|" == *"|${COMP_WORDS[i]}|"* ]]; then
        ((i++))
        [[ ${COMP_WORDS[i]} == = ]] && ((i++))
      fi
    elif [[ $verb ]]; then
      ((given++))
    else
      verb=${COMP_WORDS[i]}
      case $verb in
"""

_BASH_END = r"""  if [[ -z $place ]]; then
    if [[ $cur == -* ]]; then
      place="=$options"
    elif [[ -z $verb ]]; then
      place="=$verbs"
    elif ((given < ${#places[@]})); then
      place=${places[given]}
    elif ((many)); then
      place=${places[${#places[@]} - 1]}
    fi
  fi
  case $place in
    =*) mapfile -t COMPREPLY < <(compgen -W "${place#=}" -- "$cur") ;;
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    folders) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    '' | nothing) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$(_layerlock_names $place)" -- "$cur") ;;
  esac
}

complete -F _layerlock layerlock
"""

_ZSH_START = r"""#compdef layerlock
# Completion of layerlock for zsh, written by `layerlock completion zsh`.

# Offer the names of the recipes in some folders below recipes/, of the nearest repository.
_layerlock_names() {
  local root=$PWD folder
  local -a names
  local i=${layerlock_words[(I)--repo]}
  ((i)) && root=${~layerlock_words[i+1]}
  i=${layerlock_words[(I)--repo=*]}
  ((i)) && root=${~${layerlock_words[i]#--repo=}}
  while [[ ! -d $root/recipes && $root == */* ]]; do root=${root%/*}; done
  for folder in ${=1}; do names+=($root/recipes/$folder/*.toml(N:t:r)); done
  compadd -- ${names:#*.wheels}
}

_layerlock() {
  local curcontext="$curcontext" state line
  local -a layerlock_words=($words) verbs
  typeset -A opt_args
"""

_FISH_START = r"""# Completion of layerlock for fish, written by `layerlock completion fish`.

# Print the words of the command line that are neither options nor their values; the arguments are options with values.
function __layerlock_said
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word --repo --store $argv
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

# Say whether a verb was said, and after it a number of words (`N`, or `N+` for at least as many).
function __layerlock_at
    set -l said (__layerlock_said $argv[3..-1])
    test "$said[1]" = "$argv[1]"; or return 1
    set -l given (math (count $said) - 1)
    if string match -q -- '*+' $argv[2]
        test $given -ge (string trim -r -c + $argv[2])
    else
        test $given -eq $argv[2]
    end
end

function __layerlock_before_verb
    test (count (__layerlock_said)) -eq 0
end

# Print the names of the recipes in some folders below recipes/, of the nearest repository.
function __layerlock_names
    set -l root $PWD
    set -l words (commandline -opc)
    for i in (seq (count $words))
        if test "$words[$i]" = --repo
            set root (string replace -r '^~' $HOME -- $words[(math $i + 1)])
        else if string match -q -- '--repo=*' $words[$i]
            set root (string replace -- --repo= '' $words[$i])
        end
    end
    while not test -d $root/recipes; and string match -q '*/*' -- $root
        set root (string replace -r '/[^/]*$' '' -- $root)
    end
    for folder in $argv
        for file in $root/recipes/$folder/*.toml
            string match -rv '\.wheels$' -- (string replace -r '.*/(.*)\.toml$' '$1' -- $file)
        end
    end
end

complete -c layerlock -f
"""


def bash(everything: Sequence[Words]) -> str:
    """Write the script for bash."""
    first, *verbs = everything
    lines = [_BASH_START.rstrip("\n")]
    cases = []
    for each in verbs:
        valued = "|".join(flag for option in each.options if option.valued for flag in option.flags)
        places = " ".join(_quoted(_bash_place(place)) for place in each.places)
        lines += [
            f"        {each.verb})",
            f"          options={_quoted(_flags(each))}",
            f"          valued={_quoted(valued)}",
            f"          places=({places}) many={int(any(place.many for place in each.places))} ;;",
        ]
        cases += [
            (f"{each.verb}/{flag}", _bash_place(o)) for o in each.options if o.valued for flag in o.flags
        ]
    cases += [(f"/{flag}", _bash_place(o)) for o in first.options if o.valued for flag in o.flags]
    lines += ["      esac", "    fi", "  done", f"  [[ $verb ]] || options={_quoted(_flags(first))}"]
    lines += [f"  local verbs={_quoted(' '.join(each.verb for each in verbs))}", "  case $verb/$prev in"]
    lines += [f"    {pattern}) place={_quoted(place)} ;;" for pattern, place in cases]
    lines += ["  esac", _BASH_END]
    return "\n".join(lines)


def zsh(everything: Sequence[Words]) -> str:
    """Write the script for zsh."""
    first, *verbs = everything
    lines = [_ZSH_START.rstrip("\n"), "  verbs=("]
    lines += [f"    {_quoted(f'{each.verb}:{each.summary}')}" for each in verbs]
    lines += ["  )", "  _arguments -A '-*' -C \\"]
    lines += [f"    {spec} \\" for option in first.options for spec in _zsh_option(option)]
    lines += ["    ':verb:->verb' '*::argument:->argument' && return", "  case $state in"]
    lines += ["    verb) _describe verb verbs ;;", "    argument)", "      case $line[1] in"]
    for each in verbs:
        specs = [spec for option in each.options for spec in _zsh_option(option)]
        for number, place in enumerate(each.places, start=1):
            where = "*" if place.many else str(number)
            specs.append(_quoted(f"{where}:argument:{_zsh_action(place)}"))
        lines += [f"        {each.verb}) _arguments \\", *(f"          {spec} \\" for spec in specs)]
        lines[-1] = lines[-1].removesuffix(" \\") + " ;;"
    lines += ["      esac ;;", "  esac", "}", "", "compdef _layerlock layerlock", ""]
    return "\n".join(lines)


def fish(everything: Sequence[Words]) -> str:
    """Write the script for fish."""
    first, *verbs = everything
    lines = [_FISH_START.rstrip("\n")]
    before = "complete -c layerlock -n __layerlock_before_verb"
    lines += [f"{before} -a {each.verb} -d {_fish_quoted(each.summary)}" for each in verbs]
    lines += [f"{before} {_fish_option(option)}" for option in first.options]
    for each in verbs:
        valued = " ".join(flag for option in each.options if option.valued for flag in option.flags)
        at = f"__layerlock_at {each.verb} {{}} {valued}".rstrip()
        for number, place in enumerate(each.places):
            where = _fish_quoted(at.format(f"{number}+" if place.many else number))
            lines.append(f"complete -c layerlock -n {where} {_fish_values(place)}")
        where = _fish_quoted(at.format("0+"))
        lines += [f"complete -c layerlock -n {where} {_fish_option(option)}" for option in each.options]
    return "\n".join([*lines, ""])


WRITERS: Final[Mapping[str, Callable[[Sequence[Words]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""The writer of each shell's script."""


def _flags(words: Words) -> str:
    return " ".join(flag for option in words.options for flag in option.flags)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _bash_place(argument: Argument) -> str:
    """Say what bash completes: `=` and words, names of folders of recipes, `files`, `folders` or `nothing`."""
    if argument.words:
        return f"={' '.join(argument.words)}"
    return FOLDERS.get(argument.kind, argument.kind)


def _zsh_option(option: Argument) -> list[str]:
    """Write an option for `_arguments`, once for each of its flags."""
    shown = option.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    value = f":value:{_zsh_action(option)}" if option.valued else ""
    equals = "=" if option.valued else ""
    return [
        _quoted(f"*{flag}{equals if flag.startswith('--') else ''}[{shown}]{value}") for flag in option.flags
    ]


def _zsh_action(argument: Argument) -> str:
    if argument.words:
        return f"({' '.join(argument.words)})"
    if argument.kind in FOLDERS:
        return f'{{_layerlock_names "{FOLDERS[argument.kind]}"}}'
    return {"files": "_files", "folders": "_files -/"}.get(argument.kind, " ")


def _fish_option(option: Argument) -> str:
    flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
    values = f" {_fish_values(option)}" if option.valued else ""
    return f"{flags}{values} -d {_fish_quoted(option.help)}"


def _fish_values(argument: Argument) -> str:
    if argument.words:
        return f"-x -a {_fish_quoted(' '.join(argument.words))}"
    if argument.kind in FOLDERS:
        return f"-x -a '(__layerlock_names {FOLDERS[argument.kind]})'"
    return {"files": "-r -F", "folders": "-x -a '(__fish_complete_directories)'"}.get(argument.kind, "-x")


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
