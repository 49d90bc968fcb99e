# The whole path, without any data: make spoken words, train a network on them, measure it, use it and export it.
# Usage: demo.sh FOLDER, with `kws` on the PATH. It prints each command before it runs it.
set -eu

step() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
    "$@"
}

mkdir -p "$1"
cd "$1"
echo "All files go to $PWD. This takes about 2 minutes on 2 cores."
step kws prepare --data-path data --synthesize
step kws train --data-path data --train-dir run --how-many-training-steps 600,300 --learning-rate 0.002,0.0004 \
    --eval-step-interval 150 --overwrite
echo "Expected: at least 90 % on testing, with voices that the network never heard."
step kws eval --checkpoint run
echo "Expected: the same accuracy as above."
step kws label --checkpoint run --top 2 data/synthetic/yes/en-m[1-4]_nohash_0.wav
echo "Expected: yes, with a high score."
step kws freeze --checkpoint run --output ds_cnn.pb
step kws eval --checkpoint ds_cnn.pb --json | grep '"accuracy"'
echo "Expected: the same accuracy as above, from one file that needs no other file."
