// Error shapes, and the one operation of sts.
#include "fleet/aws/protocols.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "fleet/aws/s3_xml.h"
#include "formats/json_ptr.h"

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

// Services of the query protocol whose requests may come without a body that shows it.
constexpr std::string_view kQueryServices[] = {
    "autoscaling", "cloudformation", "ec2", "iam", "rds", "sns", "sts"};

std::string parameter(std::string_view text, std::string_view name) {
  auto parameters = net::parse_query(text);
  if (!parameters) return {};
  for (const auto& [key, value] : *parameters) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

Protocol protocol_of(const net::HttpRequest& request) {
  if (request.headers.has("X-Amz-Target")) return Protocol::kJson;
  auto scope = net::sigv4_claimed_scope(request);
  const std::string service = scope ? scope->service : "";
  if (service == "s3") return Protocol::kRestXml;
  const bool is_form =
      request.headers.get("Content-Type").starts_with("application/x-www-form-urlencoded");
  if (is_form || std::ranges::find(kQueryServices, service) != std::end(kQueryServices)) {
    return Protocol::kQuery;
  }
  return Protocol::kRestJson;
}

net::HttpResponse error_response(int status, std::string_view type, std::string_view message) {
  net::HttpResponse response =
      net::json_response(status, formats::json_text(json{{"message", std::string(message)}}));
  response.headers.set("x-amzn-errortype", std::string(type));
  return response;
}

net::HttpResponse protocol_error(Protocol protocol, int status, std::string_view type,
                                 std::string_view message) {
  switch (protocol) {
    case Protocol::kRestJson:
      break;
    case Protocol::kRestXml:
      return s3_error(status, type, message);
    case Protocol::kJson:
      return net::text_response(status,
                                formats::json_text(json{{"__type", std::string(type)},
                                                        {"message", std::string(message)}}),
                                "application/x-amz-json-1.1");
    case Protocol::kQuery:
      return net::text_response(
          status,
          fmt::format("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>"
                      "<Type>{}</Type>{}{}</Error></ErrorResponse>",
                      status < 500 ? "Sender" : "Receiver", xml_element("Code", type),
                      xml_element("Message", message)),
          "text/xml");
  }
  return error_response(status, type, message);
}

net::HttpResponse answer_sts(const formats::ArnScope& scope, const Identity& who,
                             const net::HttpRequest& request, std::string_view request_id) {
  std::string action = parameter(request.body, "Action");
  if (action.empty()) action = parameter(net::split_target(request.target).second, "Action");
  if (action != "GetCallerIdentity") {
    return protocol_error(Protocol::kQuery, 501, "NotImplemented",
                          fmt::format("this control plane implements GetCallerIdentity of sts, "
                                      "not '{}'",
                                      action));
  }
  return net::text_response(
      200,
      fmt::format(
          "<GetCallerIdentityResponse "
          "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>"
          "{}{}{}</GetCallerIdentityResult><ResponseMetadata>{}</ResponseMetadata>"
          "</GetCallerIdentityResponse>",
          xml_element("Arn", fmt::format("arn:aws:iam::{}:user/{}", scope.account, who.name)),
          xml_element("UserId", who.via), xml_element("Account", scope.account),
          xml_element("RequestId", request_id)),
      "text/xml");
}

}  // namespace skerry::fleet::aws
