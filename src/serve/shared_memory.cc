// Objects opened by name and checked, and copies to and from them.
#include "serve/shared_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace skerry::serve {
namespace {

constexpr size_t kMaxRegions = 1024;
constexpr size_t kMaxRegionNameBytes = 255;

std::unexpected<Error> invalid_region(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

// "/input" of "/input" or "input".
Result<std::string> object_name(const std::string& key) {
  const std::string_view bare = std::string_view(key).substr(key.starts_with('/') ? 1 : 0);
  const bool is_name = !bare.empty() && bare.size() <= kMaxRegionNameBytes && bare != "." &&
                       bare != ".." && bare.find('/') == std::string_view::npos &&
                       bare.find('\0') == std::string_view::npos;
  if (!is_name) return invalid_region("'key' must be the name of an object of shared memory");
  return fmt::format("/{}", bare);
}

Result<void> check_owner(const struct stat& found, const net::Peer& client) {
  if (client.address == "unix") {
    const bool own = client.uid == 0 || static_cast<int64_t>(found.st_uid) == client.uid;
    if (own) return {};
    return fail(Code::kPermissionDenied, "the object of shared memory belongs to another user");
  }
  if (found.st_uid == ::geteuid()) return {};
  return fail(Code::kPermissionDenied,
              "the object of shared memory belongs to another user than this server's; "
              "register it through the Unix socket");
}

Result<SharedRegionPtr> open_region(const std::string& key, uint64_t offset, uint64_t size_bytes,
                                    const net::Peer& client) {
  SKERRY_ASSIGN(const std::string object, object_name(key));
  auto region = std::make_shared<SharedRegion>();
  region->key = key;
  region->offset = offset;
  region->size_bytes = size_bytes;
  region->object = io::Fd(::shm_open(object.c_str(), O_RDWR, 0));
  region->writable = static_cast<bool>(region->object);
  if (!region->object && (errno == EACCES || errno == EROFS)) {
    region->object = io::Fd(::shm_open(object.c_str(), O_RDONLY, 0));
  }
  if (!region->object) {
    return invalid_region(errno_error("open shared memory", key, errno).message());
  }
  struct stat found = {};
  if (::fstat(region->object.get(), &found) != 0 || !S_ISREG(found.st_mode)) {
    return invalid_region(fmt::format("'{}' is no object of shared memory", key));
  }
  SKERRY_TRY(check_owner(found, client));
  const auto length = static_cast<uint64_t>(found.st_size);
  if (offset > length || size_bytes > length - offset) {
    return invalid_region(fmt::format("'{}' holds {} bytes, not {} from byte {} on", key, length,
                                      size_bytes, offset));
  }
  return region;
}

Result<void> check_within(const SharedRegion& region, const SharedRange& range) {
  if (range.offset <= region.size_bytes && range.size_bytes <= region.size_bytes - range.offset) {
    return {};
  }
  return invalid_region(
      fmt::format("shared memory region '{}' holds {} bytes, not {} from byte {} on", range.region,
                  region.size_bytes, range.size_bytes, range.offset));
}

// `step(done)`: what one call moved, from byte `done` on.
template <class Step>
Result<void> copy_all(const SharedRange& range, size_t size, Step&& step) {
  for (size_t done = 0; done < size;) {
    const ssize_t moved = step(done);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return fail(errno_error("copy shared memory", range.region, errno));
    if (moved == 0) {
      return invalid_region(
          fmt::format("the object of shared memory region '{}' has become shorter", range.region));
    }
    done += static_cast<size_t>(moved);
  }
  return {};
}

}  // namespace

Result<void> SharedRegion::read(const SharedRange& range, tensor::Bytes& out) const {
  out.resize(range.size_bytes);
  return copy_all(range, out.size(), [&](size_t done) {
    return ::pread(object.get(), out.data() + done, out.size() - done,
                   static_cast<off_t>(offset + range.offset + done));
  });
}

Result<void> SharedRegion::write(const SharedRange& range, std::span<const std::byte> bytes) const {
  struct stat now = {};
  const uint64_t end = offset + range.offset + bytes.size();
  if (::fstat(object.get(), &now) != 0 || static_cast<uint64_t>(now.st_size) < end) {
    return invalid_region(  // writing would make it longer
        fmt::format("the object of shared memory region '{}' has become shorter", range.region));
  }
  return copy_all(range, bytes.size(), [&](size_t done) {
    return ::pwrite(object.get(), bytes.data() + done, bytes.size() - done,
                    static_cast<off_t>(offset + range.offset + done));
  });
}

Result<void> SharedMemory::check_local(const net::Peer& client) {
  for (const std::string_view here : {"unix", "127.", "[::1]", "[::ffff:127."}) {
    if (client.address.starts_with(here)) return {};
  }
  return fail(Code::kPermissionDenied,
              "shared memory is for clients on this machine; send tensors in the request");
}

Result<void> SharedMemory::add(const std::string& name, const std::string& key, uint64_t offset,
                               uint64_t size_bytes, const net::Peer& client) {
  SKERRY_TRY(check_local(client));
  if (name.empty() || name.size() > kMaxRegionNameBytes) {
    return invalid_region(fmt::format("a region's name has 1 to {} bytes", kMaxRegionNameBytes));
  }
  if (size_bytes == 0) return invalid_region("'byte_size' must be 1 or more");
  if (regions_.contains(name)) {
    return fail(
        Code::kAlreadyExists,
        fmt::format("shared memory region '{}' is registered already; unregister it first", name));
  }
  if (regions_.size() == kMaxRegions) {
    return fail(Code::kResourceExhausted,
                fmt::format("{} regions of shared memory are registered already", kMaxRegions));
  }
  SKERRY_ASSIGN(regions_[name], open_region(key, offset, size_bytes, client));
  return {};
}

void SharedMemory::remove(std::string_view name) {
  const auto found = regions_.find(name);
  if (found != regions_.end()) regions_.erase(found);
}

Result<SharedRegionPtr> SharedMemory::find(std::string_view name) const {
  const auto found = regions_.find(name);
  if (found != regions_.end()) return found->second;
  return fail(Code::kNotFound, fmt::format("shared memory region '{}' is not registered", name));
}

Result<std::shared_ptr<void>> SharedMemory::reserve(uint64_t bytes) {
  if (bytes > max_bytes_) {
    return invalid_region(
        fmt::format("the inputs in shared memory have {} bytes, {} are allowed "
                    "(skerry-infer serve --max-body-mb)",
                    bytes, max_bytes_));
  }
  if (*used_ > max_bytes_ - bytes) {
    return fail(Code::kResourceExhausted,
                "too many inputs in shared memory are being worked on; try again");
  }
  *used_ += bytes;
  return std::shared_ptr<void>(nullptr, [used = used_, bytes](void*) { *used -= bytes; });
}

Result<SharedTensors> find_regions(const SharedMemory& memory, const DecodedRequest& request) {
  SharedTensors shared;
  for (const DecodedRequest::SharedInput& input : request.shared_inputs) {
    SKERRY_ASSIGN(auto region, memory.find(input.range.region));
    SKERRY_TRY(check_within(*region, input.range));
    const uint64_t room = std::numeric_limits<uint64_t>::max() - shared.input_bytes;
    shared.input_bytes += std::min(input.range.size_bytes, room);
    shared.inputs.emplace_back(input, std::move(region));
  }
  for (const AnswerForm::Output& output : request.form.outputs) {
    SharedRegionPtr& place = shared.outputs.emplace_back();
    if (!output.shared) continue;
    SKERRY_ASSIGN(place, memory.find(output.shared->region));
    SKERRY_TRY(check_within(*place, *output.shared));
    if (!place->writable) {
      return fail(Code::kPermissionDenied,
                  fmt::format("this server may not write into shared memory region '{}'",
                              output.shared->region));
    }
  }
  return shared;
}

Result<void> read_inputs(const SharedTensors& shared, std::vector<tensor::Tensor>& inputs) {
  for (const auto& [input, region] : shared.inputs) {
    SKERRY_TRY(region->read(input.range, inputs[input.input].bytes));
  }
  return {};
}

Result<void> write_outputs(const SharedTensors& shared, const AnswerForm& form,
                           std::span<const tensor::Tensor> outputs) {
  for (size_t i = 0; i < shared.outputs.size(); ++i) {
    if (!shared.outputs[i]) continue;
    const SharedRange& range = *form.outputs[i].shared;
    if (outputs[i].bytes.size() > range.size_bytes) {
      return invalid_region(
          fmt::format("output '{}' has {} bytes; its range of shared memory region "
                      "'{}' holds {}",
                      outputs[i].name, outputs[i].bytes.size(), range.region, range.size_bytes));
    }
    SKERRY_TRY(shared.outputs[i]->write(range, outputs[i].bytes));
  }
  return {};
}

}  // namespace skerry::serve
