# The main job from nothing: a corpus of spoken words, a network trained on it, measured, used and exported.
# Usage: demo.sh FOLDER, with `kws` on the PATH. Prints each command before it runs.
set -eu

step() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
    "$@"
}

mkdir -p "$1"
cd "$1"
echo "Everything goes to $PWD. About 2 minutes on 2 cores."
step kws prepare --data-path data --synthesize
step kws train --data-path data --train-dir run --how-many-training-steps 600,300 --learning-rate 0.002,0.0004 \
    --eval-step-interval 150 --overwrite
echo "Expect at least 90 %: the voices of the testing split were never trained on."
step kws eval --checkpoint run
echo "Expect the same accuracy as above."
step kws label --checkpoint run --top 2 data/synthetic/yes/en-m[1-4]_nohash_0.wav
echo "Expect yes, with a high score."
step kws freeze --checkpoint run --output ds_cnn.pb
step kws eval --checkpoint ds_cnn.pb --json | grep '"accuracy"'
echo "Expect the accuracy of the checkpoint, from one file that needs nothing else."
