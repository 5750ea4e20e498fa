/* Asks a model of a skerry-infer: through memory that both share, by HTTP over the same socket, or
 * by HTTP over TCP.
 *
 *   infer_client SOCKET MODEL INPUT VALUE…
 *   infer_client --http SOCKET MODEL INPUT VALUE…
 *   infer_client http://HOST:PORT MODEL INPUT VALUE…
 *
 * VALUEs are the one row of the FP32 input INPUT. Prints each output's name and its numbers. */
#include <skerry/infer_client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kMaxValues = 1024 };

static void print_output(const SkerryClientTensor* output) {
  printf("%s", output->name);
  const float* values = output->data;
  for (uint64_t i = 0; output->type == SKERRY_FP32 && i < output->bytes / sizeof *values; ++i) {
    printf(" %g", values[i]);
  }
  printf("\n");
}

int main(int argc, char** argv) {
  SkerryClientOptions options = {0};
  options.size = sizeof options;
  if (argc > 1 && strcmp(argv[1], "--http") == 0) {
    options.transport = SKERRY_TRANSPORT_HTTP;
    --argc;
    ++argv;
  }
  if (argc < 5 || argc > 4 + kMaxValues) {
    fprintf(stderr,
            "usage: infer_client [--http] SOCKET | http://HOST:PORT MODEL INPUT VALUE...\n");
    return 2;
  }
  float values[kMaxValues];
  const int64_t shape[] = {1, argc - 4};
  for (int i = 4; i < argc; ++i) values[i - 4] = strtof(argv[i], NULL);

  if (strncmp(argv[1], "http://", 7) == 0) {
    options.server = argv[1];
  } else {
    options.socket_path = argv[1];
  }
  SkerryClient* client = NULL;
  char reason[256];
  if (skerry_client_open(&options, &client, reason, sizeof reason) != SKERRY_STATUS_OK) {
    fprintf(stderr, "infer_client: %s\n", reason);
    return 3;
  }
  const SkerryClientTensor input = {argv[3], SKERRY_FP32, 2,
                                    shape,   values,      (uint64_t)shape[1] * sizeof *values};
  SkerryClientRequest request = {0};
  request.size = sizeof request;
  request.model = argv[2];
  request.inputs = &input;
  request.input_count = 1;
  SkerryClientAnswer answer = {0};
  answer.size = sizeof answer;
  const int status = skerry_client_infer(client, &request, &answer);
  if (status != SKERRY_STATUS_OK) fprintf(stderr, "infer_client: %s\n", answer.message);
  for (size_t i = 0; i < answer.output_count; ++i) print_output(&answer.outputs[i]);
  skerry_client_release(client, &answer);
  skerry_client_close(client);
  return status == SKERRY_STATUS_OK ? 0 : 1;
}
