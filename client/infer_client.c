/* The functions of skerry/infer_client.h: what they get is checked, and goes on through the ring or
 * HTTP. */
#include <skerry/infer_client.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport.h"

struct SkerryClient {
  const struct Transport* transport;
  void* self;
};

int skerry_failed(SkerryClientAnswer* answer, int status, const char* message) {
  answer->status = status;
  answer->message = message;
  answer->version = "";
  answer->outputs = NULL;
  answer->output_count = 0;
  answer->retry_after_s = 0;
  answer->ticket = SKERRY_RING_MAX_SLOTS;
  return status;
}

int skerry_client_open(const SkerryClientOptions* options, SkerryClient** client, char* reason,
                       size_t reason_bytes) {
  SkerryClientOptions all;
  memset(&all, 0, sizeof all);
  memcpy(&all, options, options->size < sizeof all ? options->size : sizeof all);
  *client = NULL;
  const int is_http = all.transport == SKERRY_TRANSPORT_HTTP || all.server;
  if ((all.server && all.socket_path) || (all.server && all.transport == SKERRY_TRANSPORT_RING) ||
      all.transport > SKERRY_TRANSPORT_HTTP || all.slots > SKERRY_RING_MAX_SLOTS) {
    snprintf(reason, reason_bytes,
             "options name a socket, or a server for HTTP; a ring needs the socket, and there are "
             "at most %d slots",
             SKERRY_RING_MAX_SLOTS);
    return SKERRY_STATUS_INVALID_ARGUMENT;
  }
  SkerryClient* made = calloc(1, sizeof *made);
  if (!made) {
    snprintf(reason, reason_bytes, "there is no memory for a client");
    return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  }
  made->transport = is_http ? &skerry_http : &skerry_ring;
  const int status = is_http ? skerry_http_open(&all, &made->self, reason, reason_bytes)
                             : skerry_ring_open(&all, &made->self, reason, reason_bytes);
  if (status != SKERRY_STATUS_OK) {
    free(made);
    return status;
  }
  *client = made;
  return SKERRY_STATUS_OK;
}

void skerry_client_close(SkerryClient* client) {
  if (!client) return;
  client->transport->close(client->self);
  free(client);
}

static int is_request(const SkerryClientRequest* request) {
  if (!request->model || strlen(request->model) > UINT16_MAX ||
      (request->version && strlen(request->version) > UINT16_MAX) ||
      request->input_count > SKERRY_RING_MAX_TENSORS ||
      request->output_count > SKERRY_RING_MAX_TENSORS) {
    return 0;
  }
  for (size_t i = 0; i < request->input_count; ++i) {
    const SkerryClientTensor* input = &request->inputs[i];
    if (!input->name || strlen(input->name) > UINT16_MAX || input->rank > SKERRY_RING_MAX_RANK ||
        input->type > SKERRY_BYTES) {
      return 0;
    }
  }
  for (size_t i = 0; i < request->output_count; ++i) {
    if (!request->outputs[i] || strlen(request->outputs[i]) > UINT16_MAX) return 0;
  }
  return 1;
}

static int begin(SkerryClient* client, const SkerryClientRequest* request, uint32_t* ticket,
                 const char** reason) {
  SkerryClientRequest all;
  memset(&all, 0, sizeof all);
  memcpy(&all, request, request->size < sizeof all ? request->size : sizeof all);
  *reason = "the request is none: a name is missing or too long, or there are too many tensors";
  if (!is_request(&all)) return SKERRY_STATUS_INVALID_ARGUMENT;
  return client->transport->begin(client->self, &all, ticket, reason);
}

int skerry_client_begin(SkerryClient* client, const SkerryClientRequest* request,
                        uint32_t* ticket) {
  const char* reason = NULL;
  return begin(client, request, ticket, &reason);
}

int skerry_client_wait(SkerryClient* client, uint32_t ticket, int32_t timeout_ms,
                       SkerryClientAnswer* answer) {
  return client->transport->wait(client->self, ticket, timeout_ms, answer);
}

int skerry_client_infer(SkerryClient* client, const SkerryClientRequest* request,
                        SkerryClientAnswer* answer) {
  uint32_t ticket = 0;
  const char* reason = NULL;
  const int status = begin(client, request, &ticket, &reason);
  if (status != SKERRY_STATUS_OK) return skerry_failed(answer, status, reason);
  return skerry_client_wait(client, ticket, -1, answer);
}

void skerry_client_release(SkerryClient* client, SkerryClientAnswer* answer) {
  client->transport->release(client->self, answer->ticket);
  answer->ticket = SKERRY_RING_MAX_SLOTS;
  answer->outputs = NULL;
  answer->output_count = 0;
}
