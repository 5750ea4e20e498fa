// From a definition to the class that does it.
#include "streams/export/exporters.h"

#include "streams/export/aws_exporter.h"
#include "streams/export/fleet_exporter.h"
#include "streams/export/http_exporter.h"
#include "streams/export/mqtt_exporter.h"
#include "streams/export/s3_exporter.h"

namespace skerry::streams {
namespace {

constexpr std::string_view kMqtt = "mqtt:";

std::unique_ptr<Exporter> make(ExportWorld& world, const ExportConfig& config) {
  switch (config.kind) {
    case ExportKind::kHttp:
      if (config.target.starts_with(kMqtt)) {
        return std::make_unique<MqttExporter>(world.env.loop, world.nucleus,
                                              config.target.substr(kMqtt.size()));
      }
      if (config.target == kFleetTarget) {
        return std::make_unique<FleetExporter>(world.env.loop, world.nucleus);
      }
      return std::make_unique<HttpExporter>(world.http, config);
    case ExportKind::kS3:
      return std::make_unique<S3Exporter>(
          world.env, world.aws, config,
          [&streams = world.streams](std::string stream, std::string payload) {
            return streams.append(std::move(stream), std::move(payload));
          });
    case ExportKind::kKinesis:
    case ExportKind::kSiteWise:
    case ExportKind::kIotAnalytics:
      break;
  }
  return std::make_unique<AwsExporter>(world.aws, config);
}

}  // namespace

ExportService::MakeExporter exporters_of(ExportWorld& world) {
  return [&world](const ExportConfig& config) { return make(world, config); };
}

}  // namespace skerry::streams
