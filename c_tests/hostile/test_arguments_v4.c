/* SPDX-License-Identifier: Apache-2.0 */

/* The same by the entry face. */
#include "test_arguments_v1.c"
