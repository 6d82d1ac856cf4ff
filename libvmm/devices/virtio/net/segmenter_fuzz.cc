// SPDX-License-Identifier: Apache-2.0
// Any frame with any header, cut: each segment lies in its buffer and is no
// larger than headers and segment size; payloads are those of the frame, in
// order and complete; cut again it is the same. Input: a header, a frame.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "libvmm/devices/virtio/net/net_frame.h"
#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/net/segmenter.h"

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using libvmm::IncomingFrame;
  using libvmm::Segmenter;
  IncomingFrame frame;
  if (size < sizeof frame.header) return 0;
  std::memcpy(&frame.header, data, sizeof frame.header);
  frame.bytes = std::as_bytes(std::span(data, size))
                    .subspan(sizeof frame.header)
                    .first(std::min(size - sizeof frame.header,
                                    libvmm::virtio::net::kMaxFrameSize));
  Segmenter segmenter;
  if (!segmenter.Start(frame)) {
    FUZZ_CHECK(segmenter.remaining() == 0);
    return 0;
  }
  const size_t payload = segmenter.remaining();
  FUZZ_CHECK(payload > 0 && payload < frame.bytes.size());
  const size_t headers = frame.bytes.size() - payload;
  std::vector<std::byte> buffer(Segmenter::kMaxSegmentSize);
  size_t done = 0;
  while (segmenter.remaining() > 0) {
    const size_t expected =
        std::min<size_t>(frame.header.gso_size, segmenter.remaining());
    const IncomingFrame segment = segmenter.Next(buffer);
    FUZZ_CHECK(segment.header == libvmm::NetHeader());
    FUZZ_CHECK(segment.bytes.size() == headers + expected);
    FUZZ_CHECK(
        std::ranges::equal(segment.bytes.subspan(headers),
                           frame.bytes.subspan(headers + done, expected)));
    // Addresses stay.
    FUZZ_CHECK(
        std::ranges::equal(segment.bytes.first(14), frame.bytes.first(14)));
    done += expected;
  }
  FUZZ_CHECK(done == payload);
  return 0;
}
