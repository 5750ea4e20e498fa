// skerry/infer_client.h for C++20: what is closed, released and checked by itself. Errors are
// exceptions. A client is used by one thread at a time.
//
//   skerry::client::Client client("/run/infer.sock");
//   const auto answer = client.infer("vad", {skerry::client::tensor("x", shape, values)});
//   std::span<const float> scores = answer.values<float>("y");
#pragma once

#include <skerry/infer_client.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace skerry::client {

class Error : public std::runtime_error {
 public:
  Error(int status, uint32_t retry_after_s, const std::string& message)
      : std::runtime_error(message), status_(status), retry_after_s_(retry_after_s) {}
  int status() const { return status_; }  // SKERRY_STATUS_…
  uint32_t retry_after_s() const { return retry_after_s_; }
  // The same may succeed later.
  bool is_retryable() const {
    return status_ == SKERRY_STATUS_RESOURCE_EXHAUSTED || status_ == SKERRY_STATUS_UNAVAILABLE ||
           status_ == SKERRY_STATUS_TIMEOUT;
  }

 private:
  int status_;
  uint32_t retry_after_s_;
};

// The element type's number of a C++ type.
template <class T>
constexpr uint32_t type_of() {
  if constexpr (std::is_same_v<T, bool>) return SKERRY_BOOL;
  if constexpr (std::is_same_v<T, int8_t>) return SKERRY_INT8;
  if constexpr (std::is_same_v<T, int16_t>) return SKERRY_INT16;
  if constexpr (std::is_same_v<T, int32_t>) return SKERRY_INT32;
  if constexpr (std::is_same_v<T, int64_t>) return SKERRY_INT64;
  if constexpr (std::is_same_v<T, uint8_t>) return SKERRY_UINT8;
  if constexpr (std::is_same_v<T, uint16_t>) return SKERRY_UINT16;
  if constexpr (std::is_same_v<T, uint32_t>) return SKERRY_UINT32;
  if constexpr (std::is_same_v<T, uint64_t>) return SKERRY_UINT64;
  if constexpr (std::is_same_v<T, float>) return SKERRY_FP32;
  if constexpr (std::is_same_v<T, double>) return SKERRY_FP64;
}

// Of what its arguments hold, for as long as they do.
template <class T>
SkerryClientTensor tensor(const char* name, std::span<const int64_t> shape,
                          std::span<const T> values) {
  return {name,         type_of<T>(),  static_cast<uint32_t>(shape.size()),
          shape.data(), values.data(), values.size_bytes()};
}

// Valid while its client lives.
class Answer {
 public:
  Answer(SkerryClient* client, const SkerryClientAnswer& answer)
      : client_(client), answer_(answer) {}
  Answer(Answer&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)), answer_(other.answer_) {}
  Answer& operator=(Answer&&) = delete;
  ~Answer() {
    if (client_) skerry_client_release(client_, &answer_);
  }

  std::string_view version() const { return answer_.version; }
  std::span<const SkerryClientTensor> outputs() const {
    return {answer_.outputs, answer_.output_count};
  }
  // Throws where there is no such output, or it is of another type.
  template <class T>
  std::span<const T> values(std::string_view name) const {
    for (const SkerryClientTensor& each : outputs()) {
      if (each.name != name || each.type != type_of<T>()) continue;
      return {static_cast<const T*>(each.data), each.bytes / sizeof(T)};
    }
    throw Error(SKERRY_STATUS_NOT_FOUND, 0,
                "there is no output '" + std::string(name) + "' of that type");
  }

 private:
  SkerryClient* client_;
  SkerryClientAnswer answer_;
};

class Client {
 public:
  explicit Client(const std::string& socket_path, SkerryClientOptions options = {})
      : Client(with_socket(options, socket_path)) {}
  // As they are, but for their size: with a server, by HTTP.
  explicit Client(SkerryClientOptions options) {
    char reason[512] = "";
    options.size = sizeof options;
    const int status = skerry_client_open(&options, &client_, reason, sizeof reason);
    if (status != SKERRY_STATUS_OK) throw Error(status, 0, reason);
  }
  Client(Client&& other) noexcept : client_(std::exchange(other.client_, nullptr)) {}
  Client& operator=(Client&&) = delete;
  ~Client() { skerry_client_close(client_); }

  // As skerry_client_infer(); throws where there are no outputs.
  Answer infer(const SkerryClientRequest& request) {
    SkerryClientAnswer answer{};
    answer.size = sizeof answer;
    const int status = skerry_client_infer(client_, &request, &answer);
    if (status == SKERRY_STATUS_OK) return Answer(client_, answer);
    const Error error(status, answer.retry_after_s, answer.message);
    skerry_client_release(client_, &answer);
    throw error;
  }
  Answer infer(const char* model, std::initializer_list<SkerryClientTensor> inputs) {
    SkerryClientRequest request{};
    request.size = sizeof request;
    request.model = model;
    request.inputs = inputs.begin();
    request.input_count = inputs.size();
    return infer(request);
  }
  // For skerry_client_begin() and skerry_client_wait().
  SkerryClient* get() { return client_; }

 private:
  static SkerryClientOptions with_socket(SkerryClientOptions options, const std::string& path) {
    options.socket_path = path.c_str();
    return options;
  }

  SkerryClient* client_ = nullptr;
};

}  // namespace skerry::client
