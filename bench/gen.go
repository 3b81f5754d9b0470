package bench

//go:generate go tool bpf2go -tags linux -target bpfel -cc clang-14 -strip llvm-strip-14 -type frame -type packet -type outline replay bpf/replay.bpf.c -- -O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -tags linux -target bpfel -cc clang-14 -strip llvm-strip-14 floor bpf/floor.bpf.c -- -O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu
//go:generate go run ../testdata -dir ../testdata
