// What fits: one set of limits for both ends of the wire, so that nothing is accepted at one door
// that cannot pass the next. docs/data/store.md lists them for operators.
#pragma once

#include <cstddef>
#include <cstdint>

namespace skerry::formats {

// Of one MQTT packet, in both directions: the broker refuses longer ones.
inline constexpr size_t kMaxPacketBytes = 256 << 10;
// Of a deployment document as it travels to a device: the packet holds topic, envelope and the
// execution's status details as well.
inline constexpr size_t kMaxDocumentBytes = 192 << 10;
// Of all status details of a job execution together, names included.
inline constexpr size_t kMaxStatusDetailsBytes = 32 << 10;
// Of a request to the control plane's API, artifacts excepted.
inline constexpr size_t kMaxApiBodyBytes = 16 << 20;

// Of a model package's model.json.
inline constexpr size_t kMaxModelManifestBytes = 64 << 10;
// Dimensions of a tensor in a contract or a request.
inline constexpr size_t kMaxTensorRank = 16;

// Of a step, a health check or a reaction to an update, wherever a document names one.
inline constexpr int64_t kMaxTimeoutSeconds = 365LL * 24 * 3600;
// Of the client token of a job's or a shadow's message.
inline constexpr size_t kMaxClientTokenBytes = 64;

}  // namespace skerry::formats
