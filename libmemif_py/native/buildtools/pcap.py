# SPDX-License-Identifier: Apache-2.0
"""Usage: pcap.py OUTPUT. Writes the module with which the system's libpcap is opened and called."""

import sys

from cffi import FFI

ffi = FFI()
# <pcap/pcap.h>, <pcap/bpf.h>: the same in every release of libpcap since 1.0.
ffi.cdef("""
typedef struct pcap pcap_t;
struct bpf_insn { unsigned short code; unsigned char jt, jf; unsigned int k; };
struct bpf_program { unsigned int bf_len; struct bpf_insn *bf_insns; };
pcap_t *pcap_open_dead(int linktype, int snaplen);
int pcap_compile(pcap_t *p, struct bpf_program *program, const char *text, int optimize,
                 unsigned int netmask);
void pcap_freecode(struct bpf_program *program);
char *pcap_geterr(pcap_t *p);
void pcap_close(pcap_t *p);
unsigned int bpf_filter(const struct bpf_insn *program, const unsigned char *packet,
                        unsigned int length, unsigned int kept);
""")
ffi.set_source("libmemif_py._pcap", None)
ffi.emit_python_code(sys.argv[1])
