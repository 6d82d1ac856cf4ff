// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_GLIB_LOOP_H_
#define LIBVMM_EXAMPLES_LOOPS_GLIB_LOOP_H_

#include <glib.h>

#include <span>
#include <vector>

#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"

namespace loops {

// Serves sources on a program's GLib main context while it lives: each is a
// GSource with a descriptor and a ready time. Make one for each machine.
//
// Thread-safety: the thread that owns the context. May be destroyed in a
//     dispatch, but not in one of its own sources.
// Ownership: holds a reference on its GSources; clock and sources are lent.
// Errors: none; GLib aborts without memory.
// Cost: one GSource for each source. GLib looks at all of a context's at each
//     turn.
class GlibSources {
 public:
  // `context` null: the default one.
  GlibSources(GMainContext* context, const libvmm::Clock& clock,
              std::span<libvmm::EventSource* const> sources);
  GlibSources(const GlibSources&) = delete;
  GlibSources& operator=(const GlibSources&) = delete;
  ~GlibSources();

 private:
  std::vector<GSource*> watches_;
};

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_GLIB_LOOP_H_
