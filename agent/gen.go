package agent

//go:generate go tool bpf2go -cc clang-14 -strip llvm-strip-14 -tags linux -target bpfel -type verdict -type mss_limits -type counter -type address -type prefix_v4 -type prefix_v6 bpf bpf/agent.bpf.c -- -O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu
