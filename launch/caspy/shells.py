"""What makes the Tab key work in bash, zsh and fish: ``caspy -completion SHELL``."""

from __future__ import annotations

_BASH = r"""# caspy in bash: put this line into ~/.bashrc
#   eval "$(caspy -completion bash)"
_caspy() {
    local line="${COMP_LINE:0:COMP_POINT}" word meaning
    COMPREPLY=()
    while IFS=$'\t' read -r word meaning; do
        COMPREPLY+=("$word")
    done < <(CASPY_COMPLETE="$line" caspy 2>/dev/null)
    # Readline takes '=' and ':' for ends of words, and replaces only what is behind the last one.
    local typed="${line##*[[:space:]]}"
    local kept="${typed%"${typed##*[=:]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _caspy caspy
"""

_ZSH = r"""#compdef caspy
# caspy in zsh: put this line into ~/.zshrc, behind compinit
#   eval "$(caspy -completion zsh)"
_caspy() {
    local word meaning
    local -a words_ shown open open_shown
    while IFS=$'\t' read -r word meaning; do
        if [[ $word == *= ]]; then
            open+=("$word"); open_shown+=("$word  $meaning")
        else
            words_+=("$word"); shown+=("$word  $meaning")
        fi
    done < <(CASPY_COMPLETE="$LBUFFER" caspy 2>/dev/null)
    (( $#words_ )) && compadd -l -d shown -- "${words_[@]}"
    (( $#open )) && compadd -l -S '' -d open_shown -- "${open[@]}"
    (( $#words_ + $#open )) || _files
}
compdef _caspy caspy
"""

_FISH = r"""# caspy in fish: put this line into ~/.config/fish/config.fish
#   caspy -completion fish | source
function __caspy
    set -l rows (CASPY_COMPLETE=(commandline -cp) caspy 2>/dev/null)
    if set -q rows[1]
        printf '%s\n' $rows
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c caspy -f -a '(__caspy)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
