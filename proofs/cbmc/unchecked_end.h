/* SPDX-License-Identifier: Apache-2.0 */
#pragma CPROVER check pop
