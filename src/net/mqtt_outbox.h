// Inside of net: the messages of QoS 1 that a client has accepted and whose acknowledgement it
// waits for. In memory, in order, within limits, over any number of connections.
#pragma once

#include <deque>
#include <vector>

#include "net/mqtt.h"

namespace skerry::net {

// What `done` of a message is told that had to be heard and was not.
Error nobody_heard();

class MqttOutbox {
 public:
  MqttOutbox(size_t max_messages, size_t max_bytes)
      : max_messages_(max_messages), max_bytes_(max_bytes) {}

  Result<void> add(MqttMessage message, MqttClient::Done done);
  MqttBacklog backlog() const { return {waiting_.size() + in_flight_.size(), bytes_}; }

  // The next message to send, null where there is none or enough are in flight.
  const MqttMessage* next() const;
  void sent(int packet_id);  // next() is on its way
  // Ends next(), which cannot be sent at all.
  MqttClient::Done drop_next();
  // Ends the message of that packet; nothing where it is not known.
  struct Answered {
    MqttClient::Done done;
    bool must_be_heard;
  };
  std::optional<Answered> answered(int packet_id);

  // What was in flight is sent again. Where the broker ended the connection over a packet
  // (`packet_at_fault`) they go one by one, and the one that fails so again is returned: to be
  // refused, or it would end every connection.
  std::optional<MqttClient::Done> connection_lost(bool packet_at_fault);

 private:
  struct Entry {
    MqttMessage message;
    MqttClient::Done done;
    size_t bytes;
    int packet_id = 0;
  };
  MqttClient::Done finish(Entry& entry);

  const size_t max_messages_;
  const size_t max_bytes_;
  size_t bytes_ = 0;
  bool one_by_one_ = false;
  std::vector<Entry> in_flight_;  // few, oldest first
  std::deque<Entry> waiting_;
};

}  // namespace skerry::net
