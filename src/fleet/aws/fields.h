// Requests as structs: each operation has one, whose fields() say where on the wire every member
// stands and what its shape is. bind_request() fills it from a request once; operations read
// members.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "fleet/aws/api.h"
#include "fleet/aws/model.h"

namespace skerry::fleet::aws {

// A request before it is bound to its operation.
struct RawRequest {
  std::map<std::string, std::string> path;        // decoded parameters of the template
  std::multimap<std::string, std::string> query;  // decoded
  std::map<std::string, std::string> headers;     // names in lower case
  nlohmann::json body;                            // an object; empty where there is no body
  std::string_view payload;                       // the body as it came; of the caller
  std::string actor;                              // who asks
};

enum class In { kPath, kQuery, kHeader, kBody, kPayload };  // the last: the body as a whole

struct Field {
  std::string_view name;  // on the wire; of a header in lower case
  In in = In::kBody;
  const Shape* shape = nullptr;
  bool required = false;
  void (*store)(void* request, const nlohmann::json& value) = nullptr;
};

// Values that check() has found to be of the field's shape.
void read_into(std::string& member, const nlohmann::json& value);
void read_into(std::optional<std::string>& member, const nlohmann::json& value);
void read_into(std::optional<int64_t>& member, const nlohmann::json& value);
void read_into(std::optional<bool>& member, const nlohmann::json& value);
void read_into(bool& member, const nlohmann::json& value);
void read_into(nlohmann::json& member, const nlohmann::json& value);
void read_into(std::optional<nlohmann::json>& member, const nlohmann::json& value);
void read_into(std::vector<std::string>& member, const nlohmann::json& value);
template <class Tag>
void read_into(Named<Tag>& member, const nlohmann::json& value) {
  std::string text;
  read_into(text, value);
  member = Named<Tag>(std::move(text));
}

// The fields of `Request`: Fields<CreateThing>::path<&CreateThing::name>("thingName", kName).
template <class Request>
struct Fields {
  template <auto Member>
  static constexpr Field path(std::string_view name, const Shape& shape) {
    return {name, In::kPath, &shape, true, &store<Member>};
  }
  template <auto Member>
  static constexpr Field query(std::string_view name, const Shape& shape, bool required = false) {
    return {name, In::kQuery, &shape, required, &store<Member>};
  }
  template <auto Member>
  static constexpr Field header(std::string_view name, const Shape& shape, bool required) {
    return {name, In::kHeader, &shape, required, &store<Member>};
  }
  template <auto Member>
  static constexpr Field body(std::string_view name, const Shape& shape, bool required = false) {
    return {name, In::kBody, &shape, required, &store<Member>};
  }
  template <auto Member>
  static constexpr Field payload(std::string_view name, const Shape& shape) {
    return {name, In::kPayload, &shape, true, &store<Member>};
  }

 private:
  template <auto Member>
  static void store(void* request, const nlohmann::json& value) {
    read_into(static_cast<Request*>(request)->*Member, value);
  }
};

// Fills `request`. Returns what was given, without nulls and without what the model does not know:
// one object of the fields' names. kInvalidArgument names the field.
Result<nlohmann::json> bind_request(std::span<const Field> fields, RawRequest raw, void* request);

// The fields of a list request; the last two of its table.
template <class Request>
constexpr Field page_size(const Shape& shape, std::string_view name = "maxResults") {
  return Fields<Request>::template query<&Request::max_results>(name, shape);
}
template <class Request>
constexpr Field page_token(const Shape& shape = kText, std::string_view name = "nextToken") {
  return Fields<Request>::template query<&Request::next_token>(name, shape);
}

namespace detail {
template <class Function>
struct RequestOf;
template <class Request>
struct RequestOf<Result<nlohmann::json> (*)(ApiContext&, const Request&)> {
  using Type = Request;
};

template <auto kFunction>
Result<nlohmann::json> run(const ApiServices& services, Store& store, std::string_view name,
                           RawRequest raw, const ModelledException*& exception) {
  typename RequestOf<decltype(kFunction)>::Type request;
  const std::string actor = raw.actor;
  SKERRY_ASSIGN(const nlohmann::json given,
                bind_request(request.fields(), std::move(raw), &request));
  ApiContext context{{services}, store, name, given, exception, actor};
  return kFunction(context, request);
}
}  // namespace detail

// A function Result<json>(ApiContext&, const Request&) as an operation; Request::fields() is
// static.
template <auto kFunction>
constexpr Route operation(std::string_view service, std::string_view name, std::string_view method,
                          std::string_view path, int status = 200) {
  return {service,
          name,
          method,
          path,
          status,
          &detail::RequestOf<decltype(kFunction)>::Type::fields,
          &detail::run<kFunction>,
          method == "GET" ? Role::kViewer : Role::kDeployer};
}

}  // namespace skerry::fleet::aws
