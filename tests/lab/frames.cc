// SPDX-License-Identifier: Apache-2.0
#include "tests/lab/frames.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace libvmm::lab {

void FrameWriter::Send(FrameKind kind, uint32_t job,
                       std::string_view bytes) const {
  const uint32_t words[3] = {static_cast<uint32_t>(kind), job,
                             static_cast<uint32_t>(bytes.size())};
  std::string frame(reinterpret_cast<const char*>(words), sizeof(words));
  frame.append(bytes);
  for (size_t done = 0; done < frame.size();) {
    const ssize_t count =
        ::write(fd_, frame.data() + done, frame.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) std::_Exit(2);
    done += static_cast<size_t>(count);
  }
}

}  // namespace libvmm::lab
