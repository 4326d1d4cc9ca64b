/* SPDX-License-Identifier: Apache-2.0 */
/* From here on the code is the proof's own: it is not what is checked. No include guard: this is
 * included wherever such code begins. */
#pragma CPROVER check push
#pragma CPROVER check disable "bounds"
#pragma CPROVER check disable "pointer"
#pragma CPROVER check disable "pointer-primitive"
#pragma CPROVER check disable "pointer-overflow"
#pragma CPROVER check disable "signed-overflow"
#pragma CPROVER check disable "div-by-zero"
#pragma CPROVER check disable "undefined-shift"
