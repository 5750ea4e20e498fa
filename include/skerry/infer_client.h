/* Models of a skerry-infer from C: on this machine through memory that both share, where a request
 * costs microseconds and no copy through a socket, or by HTTP over the Unix socket or TCP. Which of
 * them is a matter of options; all else is the same. The library is client/ (libskerry_client.a),
 * needs nothing but libc, and is for Linux.
 *
 *   SkerryClientOptions options = {sizeof options, "/run/infer.sock"};
 *   SkerryClient* client = NULL;
 *   char reason[256];
 *   if (skerry_client_open(&options, &client, reason, sizeof reason) != SKERRY_STATUS_OK) ...
 *   SkerryClientTensor input = {"x", SKERRY_FP32, 2, shape, values, sizeof values};
 *   SkerryClientRequest request = {sizeof request, "vad", NULL, &input, 1};
 *   SkerryClientAnswer answer = {sizeof answer};
 *   if (skerry_client_infer(client, &request, &answer) == SKERRY_STATUS_OK) use(answer.outputs[0]);
 *   skerry_client_release(client, &answer);
 *
 * Threads. A client is used by one thread at a time; threads have a client each.
 *
 * Versions. SKERRY_CLIENT_ABI counts changes that break. Structures begin with their size as the
 * caller knows it; later members are added at the end and 0 is what they usually are.
 *
 * Memory. What an answer points to belongs to the client until skerry_client_release(). Inputs are
 * read before skerry_client_begin() returns. */
#ifndef SKERRY_INFER_CLIENT_H_
#define SKERRY_INFER_CLIENT_H_

#include <skerry/ring_layout.h>    /* SKERRY_STATUS_… */
#include <skerry/runtime_plugin.h> /* SKERRY_FP32 and the other element types */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKERRY_CLIENT_ABI 1u

/* A connection and the memory that came with it; or connections of HTTP. */
typedef struct SkerryClient SkerryClient;

/* SkerryClientOptions.transport */
enum {
  SKERRY_TRANSPORT_ANY =
      0, /* the ring where there is a socket_path, HTTP where there is a server */
  SKERRY_TRANSPORT_RING = 1, /* through socket_path alone */
  SKERRY_TRANSPORT_HTTP = 2  /* where no memory is to be set aside, or tensors are of any size */
};

typedef struct SkerryClientOptions {
  size_t size;             /* sizeof(SkerryClientOptions) */
  const char* socket_path; /* of skerry-infer serve --socket */
  const char* token;       /* for a service with access rules; NULL: what the environment variable
                              SKERRY_INFER_TOKEN says, or none */
  uint32_t slots;          /* requests at once, 1 to 64; 0: 4 */
  uint32_t slot_bytes;     /* for the tensors of a request, and of an answer; 0: 256 KiB. By HTTP
                              for an answer alone; 0: 64 MiB */
  int32_t spin_us;         /* waits so long with its eyes open before it sleeps: faster, and costs
                              that much of a core; 0: 50 where there is more than one, -1: never */
  int32_t connect_ms;      /* for opening; 0: 10 s */
  const char* server;      /* instead of socket_path: "http://HOST:PORT", without TLS */
  uint32_t transport;      /* SKERRY_TRANSPORT_… */
} SkerryClientOptions;

/* Dense, row-major, little-endian. */
typedef struct SkerryClientTensor {
  const char* name;
  uint32_t type; /* SKERRY_FP32, … */
  uint32_t rank;
  const int64_t* shape; /* `rank` of them */
  const void* data;     /* of outputs: aligned to 64 bytes */
  uint64_t bytes;
} SkerryClientTensor;

typedef struct SkerryClientRequest {
  size_t size; /* sizeof(SkerryClientRequest) */
  const char* model;
  const char* version; /* or a label; NULL: the service chooses */
  const SkerryClientTensor* inputs;
  size_t input_count;
  const char* const* outputs; /* names of those that are wanted; NULL: all */
  size_t output_count;
  uint64_t timeout_us; /* after which the service gives it up; 0: never */
  uint32_t priority;   /* of those that wait: 1 goes first, 0 last */
} SkerryClientRequest;

typedef struct SkerryClientAnswer {
  size_t size;            /* sizeof(SkerryClientAnswer) */
  int status;             /* SKERRY_STATUS_OK, or why there are no outputs */
  uint32_t retry_after_s; /* where limits refused it; else 0 */
  const char* message;    /* for people; "" where all is well */
  const char* version;    /* of the model */
  const SkerryClientTensor* outputs;
  size_t output_count;
  uint32_t ticket;
} SkerryClientAnswer;

/* SKERRY_STATUS_OK and a client, to be closed; otherwise the reason as text. */
int skerry_client_open(const SkerryClientOptions* options, SkerryClient** client, char* reason,
                       size_t reason_bytes);
/* Drops what is under way, and ends what answers point to. NULL does nothing. */
void skerry_client_close(SkerryClient* client);

/* Asks and waits. Returns answer->status. Release the answer in any case. */
int skerry_client_infer(SkerryClient* client, const SkerryClientRequest* request,
                        SkerryClientAnswer* answer);

/* The same in two steps, for several requests at once. SKERRY_STATUS_RESOURCE_EXHAUSTED: no slot is
 * free; release an answer. SKERRY_STATUS_INVALID_ARGUMENT: the request does not fit into a slot, or
 * is none. No ticket then. */
int skerry_client_begin(SkerryClient* client, const SkerryClientRequest* request, uint32_t* ticket);
/* Returns answer->status, once for each ticket. `timeout_ms` -1: waits for as long as it takes.
 * SKERRY_STATUS_TIMEOUT in that time: the answer is dropped when it comes.
 * SKERRY_STATUS_UNAVAILABLE: the service is gone; close the client and open another (by HTTP it
 * connects again by itself, and does not send again what may have been asked). */
int skerry_client_wait(SkerryClient* client, uint32_t ticket, int32_t timeout_ms,
                       SkerryClientAnswer* answer);
/* The slot is free again. Nothing happens for an answer that has none. */
void skerry_client_release(SkerryClient* client, SkerryClientAnswer* answer);

#ifdef __cplusplus
}
#endif

#endif /* SKERRY_INFER_CLIENT_H_ */
