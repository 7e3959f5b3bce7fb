"""The words of the field in plain sentences, each with the literature's name, and a popover to show one anywhere."""

from __future__ import annotations

import streamlit as st

TERMS = {
    "accuracy": "The share of images that the network names rightly. Validation accuracy is on images kept out of training; test accuracy on images looked at only at the end.",
    "APG": "Accelerated proximal gradient: a gradient step with momentum followed by a proximal step. SSS uses a form that costs no extra pass over the data.",
    "batch": "The images that go through the network together. Speed depends on it, so every measured time names its batch.",
    "block": "A residual branch: a few convolutions whose output is added to a skip path. If the whole branch is zero, the skip carries the signal alone and the block can be cut out.",
    "carry": "A constant that a removed filter would still have passed on. It is folded into what comes next, so that the cut changes nothing.",
    "certificate": "The proof that comes with a cut: the network before and after, compared in double precision on random and real inputs, with the largest difference and a verdict.",
    "channel": "One input slice of a layer: what one filter of the layer before wrote. Literature: input channel, feature map.",
    "class hierarchy": "Classes within families of classes: an ellipse is a round thing. In a nested network a small level may tell families apart and a larger one their classes.",
    "compact": "Dense again after removal: a smaller ordinary network without masks or zeros.",
    "confidence interval": "Where the true share lies, as far as so many images can tell: of intervals made like this one, 95 of 100 hold it.",
    "consensus": "The answer of all levels of a nested network together: their average (NestedNet-A), or a layer that learned to weigh them (NestedNet-L).",
    "conductance": "How much of a class score flows through a unit: along the straight line from a baseline image to the image, the gradient of the score by the unit times what the unit changes, summed: ∫ ∂F/∂y · ∂y/∂α dα. Through a layer that everything passes it sums to the difference of the scores (Dhamdhere, Sundararajan and Yan, ICLR 2019).",
    "conv group": "One of the parallel parts of a grouped convolution, as in ResNeXt; their number is the cardinality.",
    "core level": "The sparsest network of a nested family, contained in every other level.",
    "CSR": "Compressed sparse rows: a matrix stored as its non-zero values with the place of each. It saves memory; a product must look up every place, which costs more than it saves until almost all is zero.",
    "dense": "With all its weights in use: nothing masked, nothing removed.",
    "dense control": "The same network trained in the same way without any structure penalty. What sparsity costs is measured against it.",
    "epoch": "One pass over the training images.",
    "exact": "The compact network gives the same answers as the trained one, up to rounding in double precision: a relative difference of at most 1·10⁻⁹.",
    "factor": "A learned number that scales a filter, group or block. At exactly zero, what it scales is dead. Literature: scaling factor, λ in SSS, γ in slimming.",
    "field": "What a unit says that is the same for every image but not at every position, as behind a zero-padded border. It is computed once a batch, not once an image.",
    "filter": "All weights that make one output channel of a convolution, and that channel itself as a thing that lives or dies.",
    "first-order Taylor": "A cheap measure of how much a unit matters: |activation × gradient of the loss|, summed over positions. To first order it is how much the loss would change if the unit said nothing (Molchanov et al., ICLR 2017).",
    "fine-tune": "Training a little more after the cut, usually with a small learning rate. What is zero stays zero, so only the compact network has to train.",
    "Grad-CAM": "A coarse map of where a network looks: the feature maps A of its last convolution, each weighted by the mean gradient of the class score over positions, summed: Σ αₖ Aₖ. The paper leaves out what is below 0; here it stays (Selvaraju et al., ICCV 2017).",
    "group lasso": "A penalty on the length of whole groups of weights instead of single weights. It can push a group to exactly zero together. Used by SSL.",
    "integrated gradients": "What each pixel adds to a class score: the gradient of the score, averaged along the straight line from a baseline image to the image, times their difference: (x − x′) · ∫ ∂F/∂x dα. All pixels sum to the difference of the scores (Sundararajan et al., ICML 2017).",
    "layer": "One operation with weights; as a structure, a whole convolution that can die.",
    "level": "One network of a nested family: 0 is the core, the last one the full network.",
    "MAC": "Multiply-accumulate: one multiplication and one addition, the unit of a network's arithmetic. Some papers count it as two FLOPs.",
    "mask": "A pattern of zeros and ones that switches weights or filters off without removing them.",
    "measured speed": "Times as fast as the dense network on this machine: the median of paired timings.",
    "memory kept": "What one pass frees stays with the program for the next. Else the system hands out new pages each time, and the clock counts that work too.",
    "mutual information": "How much knowing one of two things tells about the other. Normalised, it is 0 for unrelated filters and 1 where one filter tells the other.",
    "NestedNet": "Several networks in one, each contained in the next, trained together (Kim, Ahn and Oh, CVPR 2018).",
    "neuron": "A unit of a linear layer, or a channel seen as one.",
    "parameter": "One learned number of the network.",
    "percentage point": "The plain difference of two percentages: from 92 % to 91 % is −1 percentage point (pp).",
    "promised speed": "Dense MACs divided by compact MACs: the speed-up if time followed arithmetic. Real machines rarely keep the promise.",
    "proximal step": "The part of an update that applies the penalty: it shrinks a value towards zero and stops exactly there. That is why zeros are real zeros and not just small numbers.",
    "pruning ratio": "The fraction of units removed, 0-1.",
    "quartile": "The values that cut sorted timings into quarters. The middle half lies between the lower and the upper quartile.",
    "random mask": "As many structures of each layer dead as a method left dead, but drawn at random from the same trained network. Where no difference to it shows, nothing speaks for the method's choice.",
    "rank correlation": "How far two orders of the same things agree: the correlation of their ranks, ρ. 1 is the same order, 0 none, −1 the reverse; things of one value share a rank (Spearman, 1904).",
    "same shape from scratch": "The cut network's shape, trained from fresh weights equally long. Where no difference to it shows, the method found a shape, and nothing speaks for the weights it found.",
    "seed": "The number that starts the random generator. The same seed repeats a run; several seeds show how much is luck.",
    "shape": "One tap of a kernel across all filters: a column of the matrix product. Literature: filter shape, fibre.",
    "site": "A place in the network where structures live: a layer or block and the kind of unit, such as stage2.0.conv1/filter.",
    "skip path": "The wire around a residual block that passes the input on unchanged, padded or projected. Literature: shortcut, identity mapping.",
    "sparsity": "The fraction of values that are zero, 0-1.",
    "spread": "How much the output varies over different inputs. A difference is judged against it: a network that always says the same proves nothing.",
    "SSL": "Structured sparsity learning: group lasso on filters, channels, shapes and whole layers (Wen et al., NIPS 2016).",
    "SSS": "Sparse structure selection: learned factors on neurons, groups and blocks, driven to exact zero while training (Huang and Wang, ECCV 2018).",
    "standard deviation": "How far values lie from their mean, typically. Of a few seeds it is itself uncertain.",
    "stage": "The blocks that work at one image size and width.",
    "step": "One update of the weights by the optimizer.",
    "strength": "How hard the penalty pushes towards zero. Literature: regularisation weight, λ or γ. Too little removes nothing, too much removes what is needed.",
    "structured sparsity": "Zeros that come as whole filters, channels or blocks, so that they can be cut out and a plain smaller network remains. Scattered zeros make files smaller but rarely networks faster.",
    "survival": "The fraction of units at a site that are still alive, 0-1.",
    "uniform": "What a dead unit still says when it is one number other than 0, the same at every position and for every image. The number is carried into the next layer when the unit is cut.",
    "unit": "One thing that lives or dies at a site: a filter, channel, shape, neuron, group or block.",
}
_BY_LOWER = {term.lower(): term for term in TERMS}


def definition(term: str) -> str:
    """The plain definition; upper and lower case and a plural s do not matter."""
    word = term.lower()
    for candidate in (word, word.removesuffix("s")):
        if candidate in _BY_LOWER:
            return TERMS[_BY_LOWER[candidate]]
    raise KeyError(f"the glossary has no term {term!r}; add it to app/glossary.py")


def glossary_popover(term: str) -> None:
    """A small button that opens the definition of a term."""
    text = definition(term)
    with st.popover(term, type="tertiary", help=f"What is {term}?"):
        st.markdown(text.replace("$", "\\$"))


def glossary_row(*terms: str) -> None:
    """The words a page uses, each with its popover, in one line."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="words"):
        st.caption("Words here:", width="content")
        for term in terms:
            glossary_popover(term)
