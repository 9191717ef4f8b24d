// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title An owner that changes hands in two steps
/// @notice The owner is a cold key that is used a few times a year. A typing error in its successor
/// would be final, so the successor has to prove that it can send a transaction before it rules.
abstract contract TwoStepOwner {
    error NotOwner();
    error NotPendingOwner();
    error ZeroAddress();

    event OwnershipOffered(address indexed owner, address indexed pendingOwner);
    event OwnershipAccepted(address indexed formerOwner, address indexed owner);

    address public owner;
    address public pendingOwner;

    modifier onlyOwner() {
        require(msg.sender == owner, NotOwner());
        _;
    }

    constructor(address firstOwner) {
        require(firstOwner != address(0), ZeroAddress());
        owner = firstOwner;
        emit OwnershipAccepted(address(0), firstOwner);
    }

    /// @notice Offers the contract to a successor; zero withdraws an offer.
    function offerOwnership(address successor) external onlyOwner {
        pendingOwner = successor;
        emit OwnershipOffered(owner, successor);
    }

    function acceptOwnership() external {
        require(msg.sender == pendingOwner, NotPendingOwner());
        emit OwnershipAccepted(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }
}
