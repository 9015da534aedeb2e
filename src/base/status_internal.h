/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which kind of failure this thread saw last, for functions below which the status itself got lost. */
#ifndef MYNAH_BASE_STATUS_INTERNAL_H
#define MYNAH_BASE_STATUS_INTERNAL_H

#include <mynah/base.h>

void mynah__status_clear(void);
mynah_status mynah__status_last(void); /* OK: nothing failed since it was cleared */

#endif
