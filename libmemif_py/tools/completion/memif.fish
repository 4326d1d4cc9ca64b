# SPDX-License-Identifier: Apache-2.0
# Completion of the command memif for fish. The command itself gives the answers.

function __memif_complete
    set -l answer (env COMP_WORDS=(commandline -cp | string collect) \
        COMP_CWORD=(commandline -ct | string collect) _MEMIF_COMPLETE=fish_complete memif 2>/dev/null)
    set -l found (string match -r -g '^plain,(.*)' -- $answer)
    if count $found >/dev/null
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

complete --command memif --no-files --keep-order --arguments '(__memif_complete)'
