// Regions of POSIX shared memory that clients have named, for tensors that do not travel through a
// socket.
//
// Read and written by copy, never mapped: a client may change the bytes while a model runs and cut
// the object short at any time, which a mapping would answer with SIGBUS.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/fd.h"
#include "net/http.h"
#include "serve/tensor_codec.h"

namespace skerry::serve {

// Immutable: any thread may use one, also after its name is gone.
struct SharedRegion {
  std::string key;          // as registered: "/input" or "input"
  uint64_t offset = 0;      // in the object
  uint64_t size_bytes = 0;  // from there
  bool writable = false;
  io::Fd object;

  // kInvalidArgument where the range is not within the region or the object has become shorter.
  Result<void> read(const SharedRange& range, tensor::Bytes& out) const;
  // `bytes` are no longer than the range.
  Result<void> write(const SharedRange& range, std::span<const std::byte> bytes) const;
};
using SharedRegionPtr = std::shared_ptr<const SharedRegion>;

// Belongs to the loop's thread.
class SharedMemory {
 public:
  // At most `max_bytes` of inputs are in memory at once.
  explicit SharedMemory(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // Only objects that are the client's own: over a Unix socket those of its user (root: all), over
  // TCP, which does not say whose a connection is, those of this process's user, and only from this
  // machine. kPermissionDenied otherwise; kAlreadyExists where the name is in use; kInvalidArgument
  // where the object is shorter.
  Result<void> add(const std::string& name, const std::string& key, uint64_t offset,
                   uint64_t size_bytes, const net::Peer& client);
  // kPermissionDenied for a client on another machine.
  static Result<void> check_local(const net::Peer& client);
  // Requests in flight keep what they have found. Nothing happens where there is none.
  void remove(std::string_view name);
  void clear() { regions_.clear(); }

  // kInvalidArgument where there is none.
  Result<SharedRegionPtr> find(std::string_view name) const;
  const std::map<std::string, SharedRegionPtr, std::less<>>& regions() const { return regions_; }

  // Counts against max_bytes until the last copy is gone. kInvalidArgument where it never fits,
  // kResourceExhausted where it does not now.
  Result<std::shared_ptr<void>> reserve(uint64_t bytes);

 private:
  uint64_t max_bytes_;
  std::shared_ptr<std::atomic<uint64_t>> used_ = std::make_shared<std::atomic<uint64_t>>(0);
  std::map<std::string, SharedRegionPtr, std::less<>> regions_;
};

// The ranges of a request with the regions that they lie in.
struct SharedTensors {
  std::vector<std::pair<DecodedRequest::SharedInput, SharedRegionPtr>> inputs;
  std::vector<SharedRegionPtr> outputs;  // one each of AnswerForm::outputs; null where not shared
  uint64_t input_bytes = 0;
};

// Where all regions are there and hold what is asked of them.
Result<SharedTensors> find_regions(const SharedMemory& memory, const DecodedRequest& request);
// Fills in the inputs. From any thread.
Result<void> read_inputs(const SharedTensors& shared, std::vector<tensor::Tensor>& inputs);
// Copies out what the caller wants there. From any thread.
Result<void> write_outputs(const SharedTensors& shared, const AnswerForm& form,
                           std::span<const tensor::Tensor> outputs);

}  // namespace skerry::serve
