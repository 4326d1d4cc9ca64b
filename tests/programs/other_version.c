/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a host look like a Python of another version: the linker takes this name first. */
const char *Py_GetVersion(void);

const char *Py_GetVersion(void)
{
    return "3.99.0 (main, Jan  1 2030, 00:00:00)\n[GCC 30.1.0]";
}
