# SPDX-License-Identifier: Apache-2.0
# Completion of the command memif for bash. The command itself gives the answers.

_memif() {
    local type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        # For all else bash offers files, as it does where there is no answer.
        [ "$type" != plain ] || COMPREPLY+=("$value")
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \
        _MEMIF_COMPLETE=bash_complete "$1" 2>/dev/null)
}

complete -o nosort -o default -F _memif memif
