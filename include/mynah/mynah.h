/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* All of Mynah's headers. */
#ifndef MYNAH_MYNAH_H
#define MYNAH_MYNAH_H

#include <mynah/base.h>
#include <mynah/capture.h>
#include <mynah/dataset.h>
#include <mynah/feed.h>
#include <mynah/graph.h>
#include <mynah/learn.h>
#include <mynah/model.h>
#include <mynah/onnx.h>
#include <mynah/perceive.h>
#include <mynah/policy.h>
#include <mynah/run.h>
#include <mynah/serve.h>
#include <mynah/sim.h>
#include <mynah/studio.h>
#include <mynah/teach.h>

#endif
