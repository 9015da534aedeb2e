/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah demo: the whole story with no input. */
#include "tool.h"
const tool_command tool_demo = {"demo", "demo out=DIR", "the whole story with no input", NULL, NULL};
