/* What a client asks through: the ring or HTTP. Inside of the library. */
#ifndef SKERRY_CLIENT_TRANSPORT_H_
#define SKERRY_CLIENT_TRANSPORT_H_

#include <skerry/infer_client.h>

enum { SKERRY_USUAL_CONNECT_MS = 10000 };

/* Requests are checked and whole: what an older caller's structures lack is 0. */
struct Transport {
  void (*close)(void* self);
  /* SKERRY_STATUS_OK and the ticket, or another and why. */
  int (*begin)(void* self, const SkerryClientRequest* request, uint32_t* ticket,
               const char** reason);
  /* As skerry_client_wait(). */
  int (*wait)(void* self, uint32_t ticket, int32_t timeout_ms, SkerryClientAnswer* answer);
  void (*release)(void* self, uint32_t ticket);
};

extern const struct Transport skerry_ring, skerry_http;
/* SKERRY_STATUS_OK and what their functions get, or another and the reason as text. */
int skerry_ring_open(const SkerryClientOptions* options, void** self, char* reason,
                     size_t reason_bytes);
int skerry_http_open(const SkerryClientOptions* options, void** self, char* reason,
                     size_t reason_bytes);

/* An answer without outputs. Returns `status`. */
int skerry_failed(SkerryClientAnswer* answer, int status, const char* message);

#endif /* SKERRY_CLIENT_TRANSPORT_H_ */
