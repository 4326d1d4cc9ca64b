/* SPDX-License-Identifier: Apache-2.0 */
/* All that core.cdef declares. */
#ifndef MIF_CORE_H
#define MIF_CORE_H

#include "core/connection.h"
#include "core/counters.h"
#include "core/debug.h"
#include "core/errors.h"
#include "core/fault.h"
#include "core/fork.h"
#include "core/poller.h"
#include "core/queue.h"
#include "core/regions.h"
#include "core/segment.h"
#include "core/setup.h"
#include "core/untrusted.h"

#endif
