// How the registry tells the jobs service that what a thing has to do has changed. The registry
// does not know MQTT.
#pragma once

#include "base/named_type.h"

namespace skerry::fleet {

class JobNotifier {
 public:
  virtual ~JobNotifier() = default;
  // A job execution of `thing` was queued, ended or removed. Called after the change is stored.
  virtual void job_changed(const ThingName& thing) = 0;
};

// How the registry tells the broker that certificates changed.
class CertificateNotifier {
 public:
  virtual ~CertificateNotifier() = default;
  // A certificate was added, attached, detached or got another status. Called after it is stored.
  virtual void certificates_changed() = 0;
};

}  // namespace skerry::fleet
